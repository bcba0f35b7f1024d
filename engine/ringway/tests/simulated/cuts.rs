//! Connections that die while all kinds of traffic are on them.

use std::time::Duration;

use ringway_sim::{CutKind, CutTarget, Side};

use crate::load::Party;
use crate::mix::{APPETITE, drawn, run};
use crate::scene::{Scene, TARGET};
use crate::seeds::{Draw, for_seeds};

fn cut_kind(draw: &mut Draw) -> CutKind {
    draw.pick(&[
        CutKind::Reset,
        CutKind::Reset,
        CutKind::ResetAt(Side::Dialer),
        CutKind::ResetAt(Side::Acceptor),
        CutKind::BlackHole,
    ])
}

/// Cuts connections, present and next ones, at drawn moments and bytes, so many times.
pub fn cut_often(scene: &Scene, party: &Party, draw: &mut Draw, times: u64) {
    let (world, engine) = (scene.world.clone(), party.engine.clone());
    let mut draw = Draw::new(draw.next(), 5);
    scene.spawner.spawn("cuts", async move {
        for _ in 0..times {
            let pause = Duration::from_micros(draw.size(30_000));
            engine.sleep(pause).await.expect("the engine lives");
            let kind = cut_kind(&mut draw);
            let alive: Vec<_> = world.connections();
            let from = draw.pick(&[Side::Dialer, Side::Acceptor]);
            match alive.iter().rfind(|connection| connection.is_established) {
                Some(connection) if draw.chance(50) => world.cut(connection.id, kind),
                Some(connection) if draw.chance(50) => {
                    let arrived = connection.arrived[usize::from(from == Side::Acceptor)];
                    let offset = arrived + draw.size(200_000);
                    world.cut_at(CutTarget::Connection(connection.id), from, offset, kind);
                }
                _ => world.cut_at(CutTarget::Next, from, draw.size(100_000), kind),
            }
        }
    });
}

#[test]
fn every_byte_and_record_arrives_once_whatever_is_cut() {
    for_seeds(150, |seed| {
        let mut draw = Draw::new(seed, 6);
        let (world, config) = drawn(&mut draw);
        let scene = Scene::two_hosts(seed, world, &config);
        run(seed, scene, TARGET, APPETITE, |scene, party, draw| {
            let times = 1 + draw.below(8);
            cut_often(scene, party, draw, times);
        });
    });
}
