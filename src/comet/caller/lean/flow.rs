//! Flow control (RFC 9113, sections 5.2 and 6.9): what may be sent, and what the peer may send.

use super::frame::MAX_31;

/// The window of each stream and of the connection until something else is said (6.9.2).
pub const FIRST_WINDOW: u32 = 65_535;

/// What may be sent. Below zero where the peer took back what was used already (6.9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window(i64);

impl Window {
    pub fn new(size: u32) -> Self {
        Self(i64::from(size))
    }

    pub fn available(self) -> usize {
        self.0.max(0) as usize
    }

    pub fn take(&mut self, length: usize) {
        self.0 -= length as i64;
    }

    /// Returns false where it would be larger than a window may be (6.9.1).
    #[must_use]
    pub fn grow(&mut self, by: i64) -> bool {
        self.0 += by;
        self.0 <= i64::from(MAX_31)
    }
}

/// What the peer may send. Whatever came is granted again once it is half of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit {
    window: u32,
    left: u32,
}

impl Credit {
    /// `left` of the window was granted before.
    pub fn new(window: u32, left: u32) -> Self {
        Self { window, left }
    }

    /// Returns false where the peer sent more than it may.
    #[must_use]
    pub fn take(&mut self, length: usize) -> bool {
        let left = u32::try_from(length)
            .ok()
            .and_then(|length| self.left.checked_sub(length));
        self.left = left.unwrap_or(0);
        left.is_some()
    }

    /// What to grant now.
    pub fn due(&mut self) -> Option<u32> {
        let used = self.window.saturating_sub(self.left);
        if used == 0 || used < self.window / 2 {
            return None;
        }
        self.left = self.window;
        Some(used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_may_be_taken_back_below_zero() {
        let mut window = Window::new(100);
        window.take(80);
        assert!(window.grow(-50));
        assert_eq!(window.available(), 0);
        assert!(window.grow(40));
        assert_eq!(window.available(), 10);
        assert!(window.grow(i64::from(MAX_31) - 10));
        assert!(!window.grow(1));
        // As far below as can be: all of it was used, and is taken back.
        let all = i64::from(MAX_31);
        let mut window = Window::new(MAX_31);
        window.take(MAX_31 as usize);
        assert!(window.grow(-all) && window.available() == 0);
        assert!(window.grow(all) && window.available() == 0);
        assert!(window.grow(all) && window.available() == MAX_31 as usize);
        assert!(!window.grow(1));
    }

    #[test]
    fn what_came_is_granted_again_at_half_of_the_window() {
        let mut credit = Credit::new(100, 100);
        assert!(credit.take(49));
        assert_eq!(credit.due(), None);
        assert!(credit.take(1));
        assert_eq!(credit.due(), Some(50));
        assert_eq!(credit.due(), None);
        assert!(credit.take(100) && !credit.take(1));
    }

    #[test]
    fn a_larger_window_than_the_first_one_is_granted_at_once() {
        assert_eq!(
            Credit::new(1_000_000, FIRST_WINDOW).due(),
            Some(1_000_000 - FIRST_WINDOW)
        );
    }
}
