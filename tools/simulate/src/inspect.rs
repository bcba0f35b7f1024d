//! Checkers that look inside: memory within caps, credit conserved, both ends consistent.
//!
//! Each holds at every step, whatever is on its way: what one end believes of the other is never
//! more than the other has said, and nobody uses more than was granted.

use std::collections::BTreeMap;

use ringway::{SessionId, SessionInspection, StreamInspection};

/// What was seen of sessions.
#[derive(Default)]
pub(crate) struct Inspector {
    /// Both ends of each session, as they were last seen; the process each end is in.
    ends: BTreeMap<SessionId, Vec<(usize, SessionInspection)>>,
    /// The newest epoch that each end has had.
    epochs: BTreeMap<(SessionId, usize), u64>,
}

impl Inspector {
    /// A process has died: its sessions are gone.
    pub(crate) fn forget(&mut self) {
        self.ends.clear();
        self.epochs.clear();
    }

    /// Checks every session, and every pair of ends.
    #[track_caller]
    pub(crate) fn check(&mut self, views: impl Iterator<Item = (usize, SessionInspection)>) {
        self.ends.clear();
        for (process, view) in views {
            check_session(&view);
            let newest = self.epochs.entry((view.id, process)).or_default();
            at_most("an epoch that came before", *newest, view.epoch, &view);
            *newest = view.epoch;
            self.ends.entry(view.id).or_default().push((process, view));
        }
        for (one, other) in self.pairs() {
            check_pair(one, other);
            check_pair(other, one);
        }
    }

    /// Checks that sums agree: to be called while nothing is on its way.
    #[track_caller]
    pub(crate) fn check_at_rest(&self) {
        for (one, other) in self.pairs() {
            check_pair_at_rest(one, other);
            check_pair_at_rest(other, one);
        }
    }

    fn pairs(&self) -> impl Iterator<Item = (&SessionInspection, &SessionInspection)> {
        self.ends.values().filter_map(|ends| match &ends[..] {
            [(one_process, one), (other_process, other)] if one_process != other_process => {
                Some((one, other))
            }
            _ => None,
        })
    }
}

#[track_caller]
fn at_most(what: &str, got: u64, bound: u64, view: &dyn std::fmt::Debug) {
    assert!(got <= bound, "{what}: {got} is above {bound}: {view:?}");
}

/// What holds at one end alone.
#[track_caller]
fn check_session(view: &SessionInspection) {
    let [_, _, received, consumed, _] = view.credit;
    at_most("taken of the session", consumed, received, view);
    // Without a stream it is over: what it kept goes with the last op of its connection.
    if !view.streams.is_empty() {
        let cap = view.retained_bytes_max.max(view.retained_largest_bytes);
        at_most("memory retained", view.retained_bytes, cap, view);
    }
    let is_fenced = view.attached.is_empty() || view.fencing == 0;
    assert!(
        is_fenced,
        "attached before the older one was fenced: {view:?}"
    );
    let is_one_set = view.attached.iter().all(|&epoch| epoch == view.epoch);
    assert!(is_one_set, "a connection of another epoch: {view:?}");
    for stream in &view.streams {
        at_most("sent of a stream", stream.sent, stream.accepted, stream);
        at_most("acked of a stream", stream.acked, stream.sent, stream);
        at_most(
            "consumed of a stream",
            stream.consumed,
            stream.acked,
            stream,
        );
        at_most("taken of a stream", stream.taken, stream.received, stream);
    }
    if !view.is_lossy {
        check_credit(view);
    }
}

/// Nobody uses more than was granted, and no more is granted than there is room for. Gaps of lossy
/// streams take no room and wait for no credit.
#[track_caller]
fn check_credit(view: &SessionInspection) {
    let [sent, allowed, received, consumed, granted] = view.credit;
    at_most("session credit used", sent, allowed, view);
    at_most("session credit used by the peer", received, granted, view);
    let window = consumed + view.session_window_bytes;
    at_most("session window", granted, window, view);
    for stream in &view.streams {
        at_most("stream credit used", stream.sent, stream.allowed, stream);
        at_most("used by the peer", stream.received, stream.granted, stream);
        let window = stream.taken + view.stream_window_bytes;
        at_most("stream window", stream.granted, window, stream);
    }
}

/// What one end (`near`) believes of the other (`far`).
#[track_caller]
fn check_pair(near: &SessionInspection, far: &SessionInspection) {
    let both = (near, far);
    let [sent, allowed, ..] = near.credit;
    let [.., received, _, granted] = far.credit;
    at_most(
        "session credit that was never granted",
        allowed,
        granted,
        &both,
    );
    at_most("received of what was never sent", received, sent, &both);
    let far_streams: BTreeMap<_, &StreamInspection> = far
        .streams
        .iter()
        .map(|stream| (stream.id, stream))
        .collect();
    for here in &near.streams {
        let Some(there) = far_streams.get(&here.id) else {
            continue;
        };
        let both = (here, there);
        at_most(
            "credit that was never granted",
            here.allowed,
            there.granted,
            &both,
        );
        at_most("acked, not received", here.acked, there.received, &both);
        at_most("consumed, not taken", here.consumed, there.taken, &both);
        at_most("received, not sent", there.received, here.sent, &both);
    }
}

#[track_caller]
fn check_pair_at_rest(near: &SessionInspection, far: &SessionInspection) {
    let [sent, allowed, ..] = near.credit;
    let [.., received, consumed, granted] = far.credit;
    let both = (near, far);
    assert!(
        near.streams.is_empty(),
        "a stream that never ends: {both:?}"
    );
    assert_eq!(near.retained_bytes, 0, "retained for nobody: {both:?}");
    assert_eq!(sent, received, "credit lost on the way: {both:?}");
    assert_eq!(received, consumed, "credit never returned: {both:?}");
    assert_eq!(allowed, granted, "a grant that was lost: {both:?}");
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use ringway::StreamId;

    use super::*;

    type Ends = [SessionInspection; 2];

    /// A session in the middle of its work, nothing of which is against the rules.
    fn ends() -> Ends {
        let stream = StreamInspection {
            id: StreamId(1),
            accepted: 50,
            sent: 40,
            acked: 30,
            consumed: 20,
            allowed: 50,
            received: 35,
            taken: 30,
            granted: 60,
        };
        let end = SessionInspection {
            id: SessionId::from_bytes([1; 16]),
            epoch: 2,
            attached: vec![2, 2],
            fencing: 0,
            retained_bytes: 20,
            retained_bytes_max: 100,
            retained_largest_bytes: 20,
            stream_window_bytes: 40,
            session_window_bytes: 40,
            credit: [40, 50, 35, 30, 60],
            is_lossy: false,
            streams: vec![stream],
        };
        [end.clone(), end]
    }

    fn is_seen(check: impl FnOnce()) -> Option<String> {
        let panic = catch_unwind(AssertUnwindSafe(check)).err()?;
        panic.downcast_ref::<String>().cloned()
    }

    #[track_caller]
    fn assert_seen(what: &str, check: impl FnOnce()) {
        let said = is_seen(check).unwrap_or_default();
        assert!(said.starts_with(what), "{what}: {said:?}");
    }

    fn check(ends: Ends) {
        Inspector::default().check(ends.into_iter().enumerate());
    }

    /// One checker, and what it is there to see.
    type Case = (&'static str, fn(&mut Ends));

    const AT_EVERY_STEP: [Case; 22] = [
        ("taken of the session", |[it, _]| it.credit[3] = 36),
        ("memory retained", |[it, _]| it.retained_bytes = 101),
        ("attached before the older one", |[it, _]| it.fencing = 1),
        ("a connection of another epoch", |[it, _]| {
            it.attached[1] = 1;
        }),
        ("sent of a stream", |[it, _]| it.streams[0].sent = 51),
        ("acked of a stream", |[it, _]| it.streams[0].acked = 41),
        ("consumed of a stream", |[it, _]| {
            it.streams[0].consumed = 31;
        }),
        ("taken of a stream", |[it, _]| it.streams[0].taken = 36),
        ("session credit used:", |[it, _]| it.credit[0] = 51),
        ("session credit used by the peer", |[it, _]| {
            it.credit[2] = 61;
        }),
        ("session window", |[it, _]| it.credit[4] = 71),
        ("stream credit used", |[it, _]| it.streams[0].allowed = 39),
        ("used by the peer", |[it, _]| it.streams[0].received = 61),
        ("stream window", |[it, _]| it.streams[0].granted = 71),
        ("session credit that was never granted", |[it, _]| {
            it.credit[1] = 61;
        }),
        ("received of what was never sent", |[it, _]| {
            it.credit[2] = 41;
        }),
        ("credit that was never granted", |[it, _]| {
            it.streams[0].allowed = 61;
        }),
        ("acked, not received", |[it, _]| it.streams[0].acked = 36),
        ("consumed, not taken", |[it, other]| {
            it.streams[0].consumed = 30;
            other.streams[0].taken = 29;
        }),
        ("received, not sent", |[it, _]| it.streams[0].received = 41),
        // Each end is looked at from the other one, too.
        ("acked, not received", |[_, it]| it.streams[0].acked = 36),
        ("session window", |[_, it]| it.credit[4] = 71),
    ];

    /// Where nothing is on its way any more.
    const AT_REST: [Case; 5] = [
        ("a stream that never ends", |[it, _]| {
            it.streams = ends()[0].streams.clone();
        }),
        ("assertion `left == right` failed: retained", |[it, _]| {
            it.retained_bytes = 1;
        }),
        (
            "assertion `left == right` failed: credit lost",
            |[it, _]| {
                it.credit[0] += 1;
            },
        ),
        (
            "assertion `left == right` failed: credit never",
            |[it, _]| {
                it.credit[3] -= 1;
            },
        ),
        ("assertion `left == right` failed: a grant", |[it, _]| {
            it.credit[4] += 1;
        }),
    ];

    fn at_rest() -> Ends {
        ends().map(|mut end| {
            end.streams.clear();
            end.retained_bytes = 0;
            end.credit = [40, 60, 40, 40, 60];
            end
        })
    }

    /// A checker that cannot fail proves nothing.
    #[test]
    fn each_checker_sees_what_it_is_there_for() {
        check(ends());
        for (what, break_it) in AT_EVERY_STEP {
            let mut broken = ends();
            break_it(&mut broken);
            assert_seen(what, || check(broken));
        }
    }

    #[test]
    fn each_sum_that_does_not_agree_at_rest_is_seen() {
        let rest = |ends: Ends| {
            let mut inspector = Inspector::default();
            inspector.check(ends.into_iter().enumerate());
            inspector.check_at_rest();
        };
        rest(at_rest());
        for (what, break_it) in AT_REST {
            let mut broken = at_rest();
            break_it(&mut broken);
            assert_seen(what, || rest(broken));
        }
    }

    #[test]
    fn an_epoch_that_goes_back_is_seen_until_its_process_has_died() {
        let of_epoch = |epoch| {
            ends().map(|mut end| {
                end.epoch = epoch;
                end.attached = vec![epoch];
                end
            })
        };
        let mut inspector = Inspector::default();
        inspector.check(of_epoch(3).into_iter().enumerate());
        assert_seen("an epoch that came before", || {
            inspector.check(of_epoch(2).into_iter().enumerate());
        });
        inspector.forget();
        inspector.check(of_epoch(2).into_iter().enumerate());
    }
}
