//! A panic in any simulated task fails the run: tokio and tonic would swallow it.

use std::cell::RefCell;
use std::panic;
use std::sync::Once;

thread_local! {
    /// What panicked on this thread since [`watch`]; `None` on threads that don't simulate.
    static SEEN: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// From now on panics on this thread are kept for [`first`], and not printed.
pub(super) fn watch() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let is_kept = SEEN.with_borrow_mut(|seen| seen.as_mut().map(|seen| seen.push(panic.to_string())).is_some());
            if !is_kept {
                before(panic);
            }
        }));
    });
    SEEN.with_borrow_mut(|seen| *seen = Some(Vec::new()));
}

/// What panicked first.
pub(super) fn first() -> Option<String> {
    SEEN.with_borrow(|seen| seen.as_ref()?.first().cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_that_a_task_swallows_is_kept() {
        let simulated = || {
            watch();
            assert_eq!(first(), None);
            drop(panic::catch_unwind(|| panic!("lost in a task")));
            first()
        };
        let seen = std::thread::spawn(simulated).join().unwrap();
        assert!(seen.unwrap().contains("lost in a task"));
        assert_eq!(first(), None, "another thread's panics are its own");
    }
}
