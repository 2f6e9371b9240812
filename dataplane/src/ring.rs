//! Bounded rings between two threads, one of which pushes and one of which pops.
//!
//! The protocols over them ([`crate::mailbox`], [`crate::parcel`], [`crate::handoff`]) are generic over the
//! ring, so that the models in `tests/models.rs` check the very code that runs.

use crossbeam::queue::ArrayQueue;

/// A bounded ring.
pub trait Ring {
    /// What lies in it.
    type Item;

    /// Appends an item.
    ///
    /// # Errors
    /// The item, when the ring is full.
    fn push(&self, item: Self::Item) -> Result<(), Self::Item>;

    /// Takes the oldest item.
    fn pop(&self) -> Option<Self::Item>;

    /// Whether nothing lies in it; without a fence.
    fn is_empty(&self) -> bool;

    /// Whether nothing more fits.
    fn is_full(&self) -> bool;
}

impl<T> Ring for ArrayQueue<T> {
    type Item = T;

    #[inline]
    fn push(&self, item: T) -> Result<(), T> {
        Self::push(self, item)
    }

    #[inline]
    fn pop(&self) -> Option<T> {
        Self::pop(self)
    }

    #[inline]
    fn is_empty(&self) -> bool {
        Self::is_empty(self)
    }

    #[inline]
    fn is_full(&self) -> bool {
        Self::is_full(self)
    }
}
