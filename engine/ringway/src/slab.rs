//! A table whose keys go stale: sessions, connections, handshakes, dials of one shard.

/// Values by key. A key names one insertion: after a removal it names nothing, also when the slot
/// is used again, because each use of a slot has a generation of its own.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    count: usize,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            count: 0,
        }
    }
}

fn split(key: u64) -> (usize, u32) {
    ((key & 0xffff_ffff) as usize, (key >> 32) as u32)
}

fn join(index: u32, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(index)
}

impl<T> Slab<T> {
    pub(crate) fn insert(&mut self, value: T) -> u64 {
        self.insert_with(|_| value)
    }

    /// Inserts a value that knows its own key.
    pub(crate) fn insert_with(&mut self, make: impl FnOnce(u64) -> T) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            let (generation, value) = (0, None);
            self.slots.push(Slot { generation, value });
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 slots: bounded by limits")
        });
        let slot = &mut self.slots[index as usize];
        let key = join(index, slot.generation);
        slot.value = Some(make(key));
        self.count += 1;
        key
    }

    pub(crate) fn get(&self, key: u64) -> Option<&T> {
        let (index, generation) = split(key);
        let slot = self.slots.get(index)?;
        slot.value
            .as_ref()
            .filter(|_| slot.generation == generation)
    }

    pub(crate) fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        let (index, generation) = split(key);
        let slot = self.slots.get_mut(index)?;
        slot.value
            .as_mut()
            .filter(|_| slot.generation == generation)
    }

    pub(crate) fn remove(&mut self, key: u64) -> Option<T> {
        let (index, generation) = split(key);
        let slot = self.slots.get_mut(index)?;
        if slot.generation != generation {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index as u32);
        self.count -= 1;
        Some(value)
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn keys(&self) -> Vec<u64> {
        let used = self.slots.iter().enumerate();
        used.filter(|(_, slot)| slot.value.is_some())
            .map(|(index, slot)| join(index as u32, slot.generation))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_key_names_nothing_even_after_its_slot_is_used_again() {
        let mut slab = Slab::default();
        let first = slab.insert('a');
        assert_eq!(slab.remove(first), Some('a'));
        let second = slab.insert('b');
        assert_ne!(first, second);
        assert_eq!((slab.get(first), slab.get(second)), (None, Some(&'b')));
        assert_eq!((slab.remove(first), slab.len()), (None, 1));
        assert_eq!(slab.keys(), vec![second]);
    }
}
