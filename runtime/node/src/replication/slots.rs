//! Owns which slots this host holds, as the group over there says it. It asks nobody.

use std::collections::BTreeMap;

use gristmill_kafka::{Membered, Term};

/// The slots of this host.
#[derive(Debug, Default)]
pub(super) struct Slots {
    held: BTreeMap<u32, (Term, Standing)>,
}

/// How a slot stands with this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// What whoever had it wrote is not known yet.
    Taking,
    /// Its partitions are copied.
    Ready,
    /// The group asked for it: nothing new of it is begun.
    Leaving,
    /// It was this host's until the group took it away, and may be nobody's: this host tells of it
    /// until it is told anything else.
    Lost,
}

impl Slots {
    /// The group says something. Gives back an error that ends the membership.
    pub(super) fn told(&mut self, told: Membered) -> Option<gristmill_kafka::Error> {
        match told {
            Membered::Assigned(numbers, term) => {
                self.held.retain(|_, (_, standing)| *standing != Standing::Lost);
                let taking = numbers.into_iter().map(|slot| (slot, (term, Standing::Taking)));
                self.held.extend(taking);
            }
            Membered::Revoked(numbers) => self.set(&numbers, Standing::Leaving),
            Membered::Lost(numbers) => self.set(&numbers, Standing::Lost),
            Membered::Failed(error) => return Some(error),
        }
        None
    }

    /// Slots that stand so.
    pub(super) fn standing(&self, as_: Standing) -> Vec<u32> {
        let found = self.held.iter().filter(|(_, (_, standing))| *standing == as_);
        found.map(|(slot, _)| *slot).collect()
    }

    /// How a slot stands; `None` for one that is somebody else's.
    pub(super) fn of(&self, slot: u32) -> Option<Standing> {
        self.held.get(&slot).map(|(_, standing)| *standing)
    }

    /// Whether this host tells of a slot.
    pub(super) fn tells_of(&self, slot: u32) -> bool {
        self.held.contains_key(&slot)
    }

    /// A slot is up to date.
    pub(super) fn ready(&mut self, slot: u32) {
        self.set(&[slot], Standing::Ready);
    }

    /// Whatever is held must be looked at anew.
    pub(super) fn retake(&mut self) {
        let ready = self.standing(Standing::Ready);
        self.set(&ready, Standing::Taking);
    }

    /// A slot was given back.
    pub(super) fn left(&mut self, slot: u32) {
        self.held.remove(&slot);
    }

    /// The term in which a slot is held, so that something of it may be committed.
    pub(super) fn term(&self, slot: u32) -> Option<Term> {
        let (term, standing) = self.held.get(&slot)?;
        matches!(standing, Standing::Ready | Standing::Leaving).then_some(*term)
    }

    /// How many slots are held.
    pub(super) fn count(&self) -> usize {
        self.held.values().filter(|(_, standing)| *standing != Standing::Lost).count()
    }

    fn set(&mut self, slots: &[u32], to: Standing) {
        for slot in slots {
            if let Some((_, standing)) = self.held.get_mut(slot) {
                *standing = to;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_told_of_until_another_word_comes() {
        let mut slots = Slots::default();
        slots.told(Membered::Assigned(vec![1, 2], Term(1)));
        slots.ready(1);
        assert_eq!((slots.term(1), slots.term(2), slots.count()), (Some(Term(1)), None, 2));
        slots.told(Membered::Revoked(vec![1]));
        assert_eq!((slots.of(1), slots.term(1)), (Some(Standing::Leaving), Some(Term(1))));
        slots.told(Membered::Lost(vec![2]));
        assert!(slots.tells_of(2) && slots.term(2).is_none() && slots.count() == 1);
        slots.told(Membered::Assigned(vec![3], Term(2)));
        assert!(!slots.tells_of(2) && slots.of(3) == Some(Standing::Taking));
        slots.ready(3);
        slots.retake();
        assert_eq!(slots.standing(Standing::Taking), [3]);
        slots.left(1);
        assert_eq!(slots.of(1), None);
    }
}
