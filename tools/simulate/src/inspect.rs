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
    let cap = view.retained_bytes_max.max(view.retained_largest_bytes);
    at_most("memory retained", view.retained_bytes, cap, view);
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
