//! Repeatable randomness for simulations, and the right to use stand-in signatures.
//!
//! A program that links this package has its own `getrandom`. On a thread that called [`seed`] it
//! yields a fixed stream, so that the order of hash maps, `rand`'s thread generator and the
//! branches of `tokio::select!` are the same in every run; on other threads it asks the kernel as
//! usual. The standard library keeps what it drew per thread: run each simulation on a fresh one.
//!
//! Such a program must never hold real keys. Only `quorate-sim` and `quorate-tests` may name this
//! package, and a test shows that the released `quorate` does not contain it. What is not covered:
//! wall clocks, other threads, and code that makes the system call itself (the crate `ring`).
//!
//! This is the only package of the workspace with unsafe code.

use quorate_crypto::StandInToken;
use std::cell::Cell;

thread_local! {
    /// State of the stream; set by [`seed`], `None` as long as the kernel is to be asked.
    static STATE: Cell<Option<u64>> = const { Cell::new(None) };
}

/// From now on this thread's randomness is a function of `seed`.
pub fn seed(seed: u64) {
    STATE.set(Some(seed));
}

/// Leave to use stand-in signatures in this process.
pub fn stand_in() -> StandInToken {
    // SAFETY: `StandInToken` is `repr(transparent)` over `()`.
    unsafe { std::mem::transmute::<(), StandInToken>(()) }
}

/// One step of SplitMix64.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut word = *state;
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// Stands before the C library's function of this name.
///
/// # Safety
///
/// As there: `buffer` must be writable for `length` bytes.
// SAFETY: the signature is the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(
    buffer: *mut libc::c_void,
    length: libc::size_t,
    flags: libc::c_uint,
) -> libc::ssize_t {
    let Some(mut state) = STATE.get() else {
        // SAFETY: the same arguments, with the same demands on them.
        let written = unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) };
        return written as libc::ssize_t;
    };
    if length > 0 {
        // SAFETY: the caller promises `length` writable bytes, and here they are not none.
        let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length) };
        for chunk in bytes.chunks_mut(8) {
            let word = split_mix(&mut state).to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
    STATE.set(Some(state));
    length as libc::ssize_t
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_crypto::{Item, Scheme, SecretKey};
    use std::collections::hash_map::RandomState;
    use std::hash::BuildHasher;

    fn hash_on_a_fresh_thread(seed_with: Option<u64>) -> u64 {
        let hash = move || {
            if let Some(value) = seed_with {
                seed(value);
            }
            RandomState::new().hash_one(1)
        };
        std::thread::spawn(hash).join().unwrap()
    }

    #[test]
    fn hash_maps_are_ordered_by_the_seed_alone() {
        assert_eq!(hash_on_a_fresh_thread(Some(7)), hash_on_a_fresh_thread(Some(7)));
        assert_ne!(hash_on_a_fresh_thread(Some(7)), hash_on_a_fresh_thread(Some(8)));
    }

    #[test]
    fn an_unseeded_thread_asks_the_kernel() {
        assert_ne!(hash_on_a_fresh_thread(None), hash_on_a_fresh_thread(None));
    }

    #[test]
    fn stand_in_signatures_verify_for_their_key_and_message_only() {
        let key = SecretKey::stand_in([1; 32], stand_in());
        let scheme = key.scheme();
        let signature = key.sign(b"vote");
        let item = Item { key: key.public(), message: b"vote", signature };
        let other = Item { message: b"veto", ..item };
        assert_eq!(scheme.verify_batch(&[item, other]), [true, false]);
        assert!(!scheme.verify(&SecretKey::stand_in([2; 32], stand_in()).public(), b"vote", &signature));
        assert!(!Scheme::Ed25519.verify(&key.public(), b"vote", &signature));
    }
}
