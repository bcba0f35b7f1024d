//! What happens to connections and links while traffic is on them.

use std::time::Duration;

use ringway::Session;
use ringway_sim::{CutKind, CutTarget, Side};

use crate::draw::Draw;
use crate::scene::Scene;

/// How unkind the network is beyond what the world draws by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Events of any kind, spread over the run.
    pub events: u64,
    /// The largest pause between two, µs.
    pub pause_us_max: u64,
}

impl Trouble {
    /// None in a third of the runs, some or much in the others.
    pub fn draw(draw: &mut Draw) -> Self {
        Self {
            events: draw.pick(&[0, 0, 3, 6, 12, 24]),
            pause_us_max: draw.pick(&[3_000, 30_000, 30_000, 300_000]),
        }
    }

    /// Makes it, while everything runs.
    pub fn make(self, scene: &mut Scene, sessions: &[Session], draw: &mut Draw) {
        for _ in 0..self.events {
            scene.run_for(Duration::from_micros(1 + draw.size(self.pause_us_max)));
            match draw.below(10) {
                0..8 => cut(scene, draw),
                8 => partition(scene, draw),
                _ if sessions.is_empty() => cut(scene, draw),
                _ => draw.pick(sessions).reconnect_now(),
            }
        }
    }
}

fn cut_kind(draw: &mut Draw) -> CutKind {
    draw.pick(&[
        CutKind::Reset,
        CutKind::Reset,
        CutKind::ResetAt(Side::Dialer),
        CutKind::ResetAt(Side::Acceptor),
        CutKind::BlackHole,
    ])
}

/// Cuts a connection, present or next, now or at a drawn byte.
pub fn cut(scene: &Scene, draw: &mut Draw) {
    let world = &scene.world;
    let kind = cut_kind(draw);
    let from = draw.pick(&[Side::Dialer, Side::Acceptor]);
    let mut alive = world.connections();
    alive.retain(|connection| connection.is_established);
    if alive.is_empty() || draw.chance(25) {
        return world.cut_at(CutTarget::Next, from, draw.size(100_000), kind);
    }
    let connection = draw.pick(&alive);
    if draw.chance(50) {
        return world.cut(connection.id, kind);
    }
    let arrived = connection.arrived[usize::from(from == Side::Acceptor)];
    let offset = arrived + draw.size(200_000);
    world.cut_at(CutTarget::Connection(connection.id), from, offset, kind);
}

/// Lets nothing pass between the hosts for a while.
fn partition(scene: &mut Scene, draw: &mut Draw) {
    let (first, last) = (scene.hosts[0], scene.hosts[scene.hosts.len() - 1]);
    scene.world.partition(first, last);
    scene.run_for(Duration::from_millis(draw.pick(&[1, 50, 700, 3_000])));
    scene.world.heal(first, last);
}
