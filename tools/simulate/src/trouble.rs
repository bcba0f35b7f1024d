//! What happens to connections and links while traffic is on them.

use std::time::Duration;

use ringway::Session;
use ringway_sim::{ConnectionId, CutKind, CutTarget, Side};

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
            match draw.below(12) {
                0..8 => cut(scene, draw),
                8 => partition(scene, draw),
                9 | 10 if !sessions.is_empty() => overtake(scene, &draw.pick(sessions), draw),
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

/// Bytes that a dialer says before it proves who it is, and with the proof (WIRE.md, W-1): what is
/// late in between is decided about when it comes.
const HELLO_BYTES: u64 = 94;
const HELLO_AND_PROOF_BYTES: u64 = 191;

/// How often, and how long in all, it is looked whether a bulk connection is being dialled: several
/// round trips of most drawn links.
const BULK_DIAL_LOOKS: u32 = 50;
const BULK_DIAL_LOOKS_EVERY: Duration = Duration::from_micros(100);

/// What a dialer has said last is still on its way while it gives up and makes its next attempt: it
/// may arrive behind what that one says, of an epoch that is gone.
fn overtake(scene: &mut Scene, session: &Session, draw: &mut Draw) {
    let delay_ns = draw.pick(&[5_000_000, 50_000_000, 200_000_000, 800_000_000]);
    let late = CutKind::Late(Side::Dialer, delay_ns / 2 + draw.below(delay_ns));
    let offset = HELLO_BYTES + draw.below(HELLO_AND_PROOF_BYTES - HELLO_BYTES);
    // Now and then it is not the message connection that is late, but the bulk one behind it.
    let target = match draw.chance(50) {
        true => CutTarget::Next,
        false => bulk_dial(scene, session).map_or(CutTarget::Next, CutTarget::Connection),
    };
    scene.world.cut_at(target, Side::Dialer, offset, late);
    session.reconnect_now();
    scene.run_for(Duration::from_micros(draw.size(10_000)));
    if draw.chance(30) {
        session.reconnect_now();
    }
}

/// Dials anew, and waits for the second connection that this leads to while its dialer has not
/// proven anything yet.
fn bulk_dial(scene: &mut Scene, session: &Session) -> Option<ConnectionId> {
    let newest = |scene: &Scene| scene.world.connections().last().map(|it| it.id);
    let before = newest(scene);
    session.reconnect_now();
    for _ in 0..BULK_DIAL_LOOKS {
        scene.run_for(BULK_DIAL_LOOKS_EVERY);
        let connections = scene.world.connections();
        let new = connections.iter().filter(|it| Some(it.id) > before);
        let second = new.skip(1).find(|it| it.arrived[0] <= HELLO_BYTES);
        if let Some(second) = second {
            return Some(second.id);
        }
    }
    None
}

/// Lets nothing pass between the hosts for a while.
fn partition(scene: &mut Scene, draw: &mut Draw) {
    let (first, last) = (scene.hosts[0], scene.hosts[scene.hosts.len() - 1]);
    scene.world.partition(first, last);
    scene.run_for(Duration::from_millis(draw.pick(&[1, 50, 700, 3_000])));
    scene.world.heal(first, last);
}
