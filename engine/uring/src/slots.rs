//! Slots with generations: names for ops that cannot be mistaken for one another.
//!
//! ```text
//!   OpId = generation << 32 | index
//! ```
//!
//! A slot's generation grows each time it is taken, so an id that outlived its op finds nothing.
//! Free slots queue up, first freed first taken, which keeps an old id wrong for as long as
//! possible. A slot whose generation is used up is never taken again.

use std::collections::VecDeque;

use ringway_io::OpId;

/// Last generation: the top bit of an id is free for the ring's own use.
const GENERATION_MAX: u32 = u32::MAX >> 1;

/// A table of values named by [`OpId`].
pub(crate) struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: VecDeque<u32>,
    live: usize,
}

struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slots<T> {
    /// No slots yet.
    pub(crate) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: VecDeque::new(),
            live: 0,
        }
    }

    /// Puts a value into a free slot. Ids are never 0, their top bit is clear and their
    /// index is never `u32::MAX`.
    pub(crate) fn insert(&mut self, value: T) -> OpId {
        let index = self.free.pop_front().unwrap_or_else(|| self.grow());
        let slot = &mut self.slots[index as usize];
        slot.generation += 1;
        slot.value = Some(value);
        self.live += 1;
        OpId(u64::from(slot.generation) << 32 | u64::from(index))
    }

    fn grow(&mut self) -> u32 {
        let index = u32::try_from(self.slots.len()).expect("fewer ops than 2^32");
        assert!(index < u32::MAX, "fewer ops than 2^32");
        self.slots.push(Slot {
            generation: 0,
            value: None,
        });
        index
    }

    /// The value named by `id`.
    pub(crate) fn get(&self, id: OpId) -> Option<&T> {
        let slot = self.slots.get(index(id))?;
        slot.value
            .as_ref()
            .filter(|_| slot.generation == generation(id))
    }

    /// The value named by `id`.
    pub(crate) fn get_mut(&mut self, id: OpId) -> Option<&mut T> {
        let slot = self.slots.get_mut(index(id))?;
        let is_it = slot.generation == generation(id);
        slot.value.as_mut().filter(|_| is_it)
    }

    /// Takes the value named by `id` out and frees its slot.
    pub(crate) fn remove(&mut self, id: OpId) -> Option<T> {
        let slot = self.slots.get_mut(index(id))?;
        if slot.generation != generation(id) {
            return None;
        }
        let value = slot.value.take()?;
        self.live -= 1;
        if slot.generation < GENERATION_MAX {
            self.free.push_back(id.0 as u32);
        }
        Some(value)
    }

    /// Slots in use.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// Ids in use.
    pub(crate) fn ids(&self) -> impl Iterator<Item = OpId> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let id = OpId(u64::from(slot.generation) << 32 | index as u64);
            slot.value.as_ref().map(|_| id)
        })
    }
}

fn index(id: OpId) -> usize {
    (id.0 & 0xffff_ffff) as usize
}

fn generation(id: OpId) -> u32 {
    (id.0 >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{HashMap, HashSet};

    proptest! {
        // A late completion that finds another op's slot hands one connection's bytes to another.
        #[test]
        fn an_id_names_its_op_and_never_a_later_one(steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 1..400)) {
            let mut slots = Slots::new();
            let mut model: HashMap<OpId, usize> = HashMap::new();
            let mut gone: Vec<OpId> = Vec::new();
            let mut ever = HashSet::new();
            for (number, (insert, pick)) in steps.into_iter().enumerate() {
                if insert || model.is_empty() {
                    let id = slots.insert(number);
                    prop_assert!(ever.insert(id), "an id was given out twice");
                    model.insert(id, number);
                } else {
                    let mut live: Vec<_> = model.keys().copied().collect();
                    live.sort();
                    let id = live[pick.index(live.len())];
                    prop_assert_eq!(slots.remove(id), model.remove(&id));
                    gone.push(id);
                }
                prop_assert_eq!(slots.len(), model.len());
                prop_assert_eq!(slots.ids().collect::<HashSet<_>>(), model.keys().copied().collect());
                for (id, value) in &model {
                    prop_assert_eq!(slots.get(*id), Some(value));
                }
                for id in &gone {
                    prop_assert_eq!(slots.get(*id), None);
                    prop_assert_eq!(slots.remove(*id), None);
                }
            }
        }
    }

    #[test]
    fn a_slot_whose_generations_are_used_up_is_never_taken_again() {
        let mut slots = Slots::new();
        let first = slots.insert('a');
        slots.slots[0].generation = GENERATION_MAX;
        let last = OpId(first.0 | u64::from(GENERATION_MAX) << 32);
        assert_eq!(slots.remove(last), Some('a'));
        assert_eq!(index(slots.insert('b')), 1);
    }
}
