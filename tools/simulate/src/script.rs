//! What one direction of a stream is to carry, and how it is received: drawn from the seed.

use std::time::Duration;

use crate::draw::Draw;

/// What a piece is sent from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Bytes,
    Lease,
    File,
}

/// One send.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    pub source: Source,
    pub length: u64,
    pub ends_record: bool,
    /// Its future is dropped after so long; what it did not take is sent again.
    pub patience: Option<Duration>,
}

/// How the sender ends its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Finish(u32),
    Reset(u32),
}

/// How the receiver takes the next bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taking {
    Chunks,
    Records,
    Buffer,
    File,
    /// Another way each time.
    Mixed,
}

/// One direction of one stream.
#[derive(Clone, Debug)]
pub struct Way {
    pub items: Vec<Item>,
    pub ending: Ending,
    pub taking: Taking,
    /// The largest pause of the receiver between two takes.
    pub pause: Duration,
    /// The receiver asks the sender to cease at this offset.
    pub stop_at: Option<u64>,
    /// How many of a hundred receives are dropped before they are done.
    pub abandons: u64,
    /// For the receiver's own choices.
    pub draw: Draw,
}

/// How much, and how unruly.
#[derive(Clone, Copy, Debug)]
pub struct Appetite {
    pub items_max: u64,
    pub item_bytes_max: u64,
    /// Of a hundred directions so many are reset, stopped.
    pub resets: u64,
    pub stops: u64,
    /// Of a hundred futures so many are dropped.
    pub abandons: u64,
}

impl Appetite {
    /// From a few large pieces to many small ones.
    pub fn draw(draw: &mut Draw) -> Self {
        let (items_max, item_bytes_max) =
            draw.pick(&[(8, 512 << 10), (8, 512 << 10), (40, 2 << 10), (3, 3 << 20)]);
        Self {
            items_max,
            item_bytes_max,
            resets: draw.pick(&[0, 10, 30]),
            stops: draw.pick(&[0, 10, 30]),
            abandons: draw.pick(&[0, 0, 10, 40]),
        }
    }
}

impl Way {
    pub fn draw(draw: &mut Draw, appetite: &Appetite) -> Self {
        let sources = [Source::Bytes, Source::Bytes, Source::Lease, Source::File];
        let records = draw.pick(&[0, 50, 100]);
        let only = draw.chance(50).then(|| draw.pick(&sources));
        let count = draw.below(appetite.items_max + 1);
        let items = (0..count)
            .map(|_| {
                let length = draw.size(appetite.item_bytes_max);
                // The position does not tell whether an empty one was taken.
                let is_abandoned = length > 0 && draw.chance(appetite.abandons);
                Item {
                    source: only.unwrap_or_else(|| draw.pick(&sources)),
                    length,
                    ends_record: draw.chance(records),
                    patience: is_abandoned.then(|| Duration::from_micros(draw.below(2_000))),
                }
            })
            .collect();
        let mut way = Self {
            items,
            ending: Ending::Finish(draw.pick(&[0, 0, 0, 1000])),
            taking: draw.pick(&[
                Taking::Chunks,
                Taking::Records,
                Taking::Buffer,
                Taking::File,
                Taking::Mixed,
            ]),
            pause: Duration::from_micros(draw.pick(&[0, 0, 100, 2_000])),
            stop_at: None,
            abandons: appetite.abandons,
            draw: draw.fork(),
        };
        if draw.chance(appetite.resets) {
            way.ending = Ending::Reset(1001);
        }
        if draw.chance(appetite.stops) {
            way.stop_at = Some(draw.below(way.length() + 1));
        }
        way
    }

    /// All of its bytes.
    pub fn length(&self) -> u64 {
        self.items.iter().map(|item| item.length).sum()
    }

    /// Where its records end, in order; empty ones end where they begin.
    pub fn record_ends(&self) -> Vec<u64> {
        let mut at = 0;
        let mut ends = Vec::new();
        for item in &self.items {
            at += item.length;
            if item.ends_record {
                ends.push(at);
            }
        }
        ends
    }
}
