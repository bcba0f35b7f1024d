//! Which handles name what.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::code::ringway_code::RINGWAY_E_HANDLE;
use crate::failure::{Failure, Result};
use crate::handle::{Handle, Kind, PLACES_MAX};
use crate::slot::{Object, Slot};

struct Place {
    generation: u32,
    slot: Option<Arc<Slot>>,
}

#[derive(Default)]
struct State {
    places: Vec<Place>,
    free: Vec<u32>,
    count: usize,
}

/// The handles of one engine.
pub(crate) struct Table {
    engine: u16,
    handles_max: usize,
    state: RwLock<State>,
}

impl Table {
    pub(crate) fn new(engine: u16, handles_max: usize) -> Self {
        Self {
            engine,
            handles_max: handles_max.min(PLACES_MAX as usize),
            state: RwLock::default(),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another handle fits.
    pub(crate) fn has_room(&self) -> bool {
        self.read().count < self.handles_max
    }

    /// Gives something a handle; `make` gets the number.
    ///
    /// # Errors
    /// `RINGWAY_E_LIMIT` when the table is full.
    pub(crate) fn insert(
        &self,
        kind: Kind,
        user_data: u64,
        make: impl FnOnce(u64) -> Object,
    ) -> Result<Arc<Slot>> {
        let mut state = self.write();
        if state.count >= self.handles_max {
            let (held, allowed) = (state.count as u64 + 1, self.handles_max as u64);
            return Err(Failure::limit("handles", held, allowed));
        }
        let index = match state.free.pop() {
            Some(index) => index,
            None => {
                state.places.push(Place {
                    generation: 1,
                    slot: None,
                });
                (state.places.len() - 1) as u32
            }
        };
        let place = &mut state.places[index as usize];
        let handle = Handle {
            kind,
            engine: self.engine,
            generation: place.generation,
            index,
        };
        let number = handle.pack();
        let slot = Arc::new(Slot::new(number, user_data, make(number)));
        place.slot = Some(Arc::clone(&slot));
        state.count += 1;
        Ok(slot)
    }

    /// What a handle names.
    ///
    /// # Errors
    /// `RINGWAY_E_CLOSED` for a stale one, `RINGWAY_E_HANDLE` for any other number.
    pub(crate) fn find(&self, number: u64) -> Result<Arc<Slot>> {
        let handle = Handle::unpack(number)?;
        if handle.engine != self.engine {
            return Err(RINGWAY_E_HANDLE.into());
        }
        let state = self.read();
        let place = state.places.get(handle.index as usize);
        let place = place.ok_or(RINGWAY_E_HANDLE)?;
        match &place.slot {
            Some(slot) if slot.number == number => Ok(Arc::clone(slot)),
            Some(_) | None => Err(handle.staleness(place.generation).into()),
        }
    }

    /// Takes a handle out of use and returns what it named.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub(crate) fn remove(&self, number: u64) -> Result<Arc<Slot>> {
        self.find(number)?;
        let handle = Handle::unpack(number)?;
        let mut state = self.write();
        let place = &mut state.places[handle.index as usize];
        // Another thread may have been faster.
        if place.slot.as_ref().is_none_or(|slot| slot.number != number) {
            return Err(handle.staleness(place.generation).into());
        }
        let slot = place.slot.take();
        place.generation += 1;
        let is_used_up = place.generation >= PLACES_MAX;
        if !is_used_up {
            state.free.push(handle.index);
        }
        state.count -= 1;
        slot.ok_or_else(|| RINGWAY_E_HANDLE.into())
    }

    /// Empties the table.
    pub(crate) fn clear(&self) -> Vec<Arc<Slot>> {
        let mut state = self.write();
        let mut slots = Vec::new();
        let State {
            places,
            free,
            count,
        } = &mut *state;
        for (index, place) in places.iter_mut().enumerate() {
            if let Some(slot) = place.slot.take() {
                slots.push(slot);
                place.generation += 1;
                if place.generation < PLACES_MAX {
                    free.push(index as u32);
                }
            }
        }
        *count = 0;
        slots
    }
}
