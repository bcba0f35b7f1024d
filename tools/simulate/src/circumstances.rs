//! Worlds and configurations whose sizes and oddities are drawn.

use std::time::Duration;

use ringway::{BodyChecksum, Config, PathChoice, SessionConfig};
use ringway_sim::{
    CapabilityChoice, FaultConfig, KernelConfig, LinkConfig, ShortIo, SocketConfig, WorldConfig,
};

use crate::draw::Draw;

/// A world in which everything that may go wrong by itself does so now and then.
pub fn world(draw: &mut Draw) -> WorldConfig {
    let mut world = WorldConfig {
        faults: faults(draw),
        ..WorldConfig::default()
    };
    link(&mut world.link, draw);
    link(&mut world.loopback, draw);
    world.link.route = draw.pick(&[LinkConfig::DEVICE.route, LinkConfig::LOOPBACK.route]);
    world.socket = SocketConfig {
        send_buffer_bytes: draw.pick(&[4 << 10, 64 << 10, 256 << 10]),
        receive_buffer_bytes: draw.pick(&[4 << 10, 64 << 10, 256 << 10]),
        ..SocketConfig::default()
    };
    world.kernel = kernel(draw);
    world.disk.latency_ns = draw.pick(&[1_000..=10_000, 20_000..=200_000, 20_000..=5_000_000]);
    world.disk.resident_per_mille = draw.pick(&[0, 500, 1000]);
    world.disk.crash_keeps_per_mille = draw.pick(&[0, 200, 900]);
    world.disk.crash_tears_per_mille = draw.pick(&[0, 200]);
    world
}

fn link(link: &mut LinkConfig, draw: &mut Draw) {
    link.delay_ns = draw.pick(&[5_000, 50_000, 50_000, 1_000_000]);
    link.jitter_ns_max = draw.pick(&[0, 10_000, 1_000_000]);
    link.bandwidth_bytes_per_second = draw.pick(&[0, 20_000_000, 1_250_000_000]);
    link.segment_bytes_max = draw.pick(&[1448, 64 << 10]);
}

fn kernel(draw: &mut Draw) -> KernelConfig {
    KernelConfig {
        capabilities: draw.pick(&[
            CapabilityChoice::All,
            CapabilityChoice::All,
            CapabilityChoice::Seeded,
        ]),
        submission_entries: draw.pick(&[4, 256]),
        provided_count: draw.pick(&[1, 4, 64, 256]),
        provided_bytes: draw.pick(&[256, 4096, 65_536]),
        pipes_max: draw.pick(&[1, 2, 16]),
        pipe_bytes: draw.pick(&[4 << 10, 64 << 10, 1 << 20]),
        workers_max: draw.pick(&[1, 4]),
        helpers_max: draw.pick(&[1, 2]),
        arena_bytes: draw.pick(&[2 << 20, 16 << 20]),
        completion_delay_ns_max: draw.pick(&[0, 20_000, 500_000]),
        ..KernelConfig::default()
    }
}

fn faults(draw: &mut Draw) -> FaultConfig {
    let split = draw.below(400);
    FaultConfig {
        short_io: draw.pick(&[
            ShortIo::Never,
            ShortIo::Seeded(100),
            ShortIo::Seeded(600),
            ShortIo::At(split),
        ]),
        cancel_late_per_mille: draw.pick(&[0, 300, 1000]),
        multishot_end_per_mille: draw.pick(&[0, 20, 500]),
        silent_end_per_mille: draw.pick(&[0, 500, 1000]),
        exact_short_per_mille: draw.pick(&[0, 10, 200]),
        spurious_poll_per_mille: draw.pick(&[0, 20, 200]),
        no_memory_per_mille: draw.pick(&[0, 0, 0, 1, 5]),
        dial_hangs_per_mille: draw.pick(&[0, 0, 100, 500]),
        dial_refused_per_mille: draw.pick(&[0, 0, 200, 500]),
        accept_fails_per_mille: draw.pick(&[0, 0, 300]),
        broken_per_mille: draw.pick(&[0, 0, 1, 3]),
        notification_delay_ns_max: draw.pick(&[0, 2_000_000, 50_000_000]),
        notification_held_per_mille: draw.pick(&[0, 10, 200]),
        device_copies_per_mille: draw.pick(&[0, 100, 1000]),
        failed_send_notifies_per_mille: draw.pick(&[0, 500, 1000]),
        disk_short_per_mille: draw.pick(&[0, 100, 500]),
        disk_error_per_mille: draw.pick(&[0, 0, 0, 5]),
        disk_stall_ns_max: draw.pick(&[0, 0, 200_000_000]),
    }
}

/// An engine's configuration.
pub fn engine(draw: &mut Draw) -> Config {
    Config {
        shards: draw.pick(&[1, 1, 2, 3]),
        session: session(draw),
        path: draw.pick(&[
            PathChoice::Auto,
            PathChoice::Auto,
            PathChoice::Copy,
            PathChoice::Splice,
            PathChoice::ZeroCopy,
        ]),
        reset_grace: Duration::from_millis(200),
        ..Config::default()
    }
}

fn session(draw: &mut Draw) -> SessionConfig {
    SessionConfig {
        stream_window_bytes: draw.pick(&[16 << 10, 256 << 10, 16 << 20]),
        session_window_bytes: draw.pick(&[64 << 10, 1 << 20, 64 << 20]),
        streams_max: draw.pick(&[1, 4, 4096]),
        retained_bytes_max: draw.pick(&[64 << 10, 1 << 20, 64 << 20]),
        unacked_bytes_max: draw.pick(&[256 << 10, 4 << 20, 64 << 20]),
        bulk_connections: draw.pick(&[0, 1, 1, 3]),
        bulk_body_bytes_min: draw.pick(&[4 << 10, 64 << 10, 256 << 10]),
        heartbeat: Duration::from_millis(draw.pick(&[200, 200, 1000])),
        body_checksum: draw.pick(&[
            BodyChecksum::Off,
            BodyChecksum::Off,
            BodyChecksum::Auto,
            BodyChecksum::Always,
        ]),
        ..SessionConfig::default()
    }
}
