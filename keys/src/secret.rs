//! Values that never show and do not outlive their owner.

use std::fmt;

use zeroize::Zeroize;

/// A value that prints as `[redacted]` and is overwritten when dropped.
///
/// Overwriting is best effort: copies made before the value came here, or while a library worked on it, are not
/// reached.
pub struct Secret<T: Zeroize>(T);

/// Secret bytes of any length.
pub type SecretBytes = Secret<Vec<u8>>;

impl<T: Zeroize> Secret<T> {
    /// Takes a value into custody.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// Shows the value; what is copied out of it is the caller's to protect.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc};

    use super::*;

    struct Witness(Rc<Cell<bool>>);

    impl Zeroize for Witness {
        fn zeroize(&mut self) {
            self.0.set(true);
        }
    }

    #[test]
    fn debug_shows_nothing_of_the_value() {
        assert_eq!(format!("{:?}", Some(Secret::new("hunter2".to_owned()))), "Some([redacted])");
    }

    #[test]
    fn dropping_overwrites() {
        let overwritten = Rc::new(Cell::new(false));
        drop(Secret::new(Witness(Rc::clone(&overwritten))));
        assert!(overwritten.get());
    }
}
