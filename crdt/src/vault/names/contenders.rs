//! What contends for one name.

use std::collections::BTreeSet;

/// Those of one name, sorted. Nearly every name is one file's, and a set has room for eleven from the first on.
#[derive(Debug)]
pub(super) enum Contenders<T> {
    One(T),
    Many(BTreeSet<T>),
}

impl<T: Copy + Ord> Contenders<T> {
    pub(super) fn insert(&mut self, new: T) {
        match self {
            Self::One(only) => *self = Self::Many([*only, new].into()),
            Self::Many(all) => drop(all.insert(new)),
        }
    }

    /// Takes one out; whether another is left.
    pub(super) fn remove(&mut self, gone: T) -> bool {
        let all = match self {
            Self::One(only) => return *only != gone,
            Self::Many(all) => all,
        };
        all.remove(&gone);
        let (left, first) = (all.len(), all.first().copied());
        if let Some(last) = first.filter(|_| left == 1) {
            *self = Self::One(last);
        }
        left > 0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        let (one, many) = match self {
            Self::One(only) => (Some(only), None),
            Self::Many(all) => (None, Some(all)),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, cmp::Ordering};

    use super::*;

    /// A number that counts how often it is compared.
    #[derive(Clone, Copy, Debug)]
    struct Counted<'a>(u64, &'a Cell<u64>);

    impl Ord for Counted<'_> {
        fn cmp(&self, other: &Self) -> Ordering {
            self.1.set(self.1.get() + 1);
            self.0.cmp(&other.0)
        }
    }

    impl PartialOrd for Counted<'_> {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }

    impl PartialEq for Counted<'_> {
        fn eq(&self, other: &Self) -> bool {
            self.cmp(other).is_eq()
        }
    }

    impl Eq for Counted<'_> {}

    #[test]
    fn of_very_many_each_comes_and_goes_in_few_comparisons_and_the_last_takes_the_room_of_one() {
        const COUNT: u64 = 1 << 12;
        let compared = Cell::new(0);
        let scattered = |number: u64| Counted(number * 2_731 % COUNT, &compared);
        let mut all = Contenders::One(scattered(0));
        (1..COUNT).for_each(|number| all.insert(scattered(number)));
        assert!(all.iter().map(|counted| counted.0).eq(0..COUNT), "sorted, and each once");
        for number in 1..COUNT {
            assert!(all.remove(scattered(number)), "{number}");
        }
        assert!(matches!(all, Contenders::One(Counted(0, _))), "{all:?}");
        assert!(!all.remove(scattered(0)), "none is left");
        // Twelve levels of a binary search, coming and going, twice over.
        assert!(compared.get() < COUNT * 12 * 2 * 2, "{} comparisons", compared.get());
    }
}
