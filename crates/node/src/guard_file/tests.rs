//! The file as a crash, a copy or a flipped bit leaves it: read back whole, one batch behind, or refused.

use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;

use quorate_storage::Family;

use super::{Found, GuardFile, GuardFileError, MAX_BATCH_BYTES, Record, slot};

const INCARNATION: [u8; 32] = [7; 32];

fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("guard");
    (directory, path)
}

fn records(byte: u8) -> Vec<Record> {
    vec![(Family::Protocol, b"view".to_vec(), vec![byte; 40]), (Family::Votes, vec![1, byte], vec![byte; 200])]
}

fn newest(path: &std::path::Path) -> Option<(u64, Vec<Record>)> {
    match GuardFile::open(path, INCARNATION).unwrap() {
        Found::Whole(_, batch) => batch.map(|batch| (batch.number, batch.records)),
        found => panic!("{found:?}"),
    }
}

/// Flips one byte of a slot's content.
fn damage(path: &std::path::Path, slot: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, slot::offset(slot) + 50).unwrap();
    file.write_all_at(&[byte[0] ^ 1], slot::offset(slot) + 50).unwrap();
}

/// protocol §7.2
#[test]
fn the_newest_batch_is_found_again_however_many_were_written() {
    let (_directory, path) = place();
    let mut guard = GuardFile::create(&path, INCARNATION).unwrap();
    assert_eq!(newest(&path), None);
    for number in 1..=5 {
        guard.write(number, &records(number as u8)).unwrap();
        assert_eq!(newest(&path), Some((number, records(number as u8))));
    }
    let Found::Whole(mut reopened, _) = GuardFile::open(&path, INCARNATION).unwrap() else { panic!() };
    reopened.write(6, &[]).unwrap();
    assert_eq!(newest(&path), Some((6, vec![])));
}

/// protocol §7.2: a crash in the middle of a write leaves the batch before it.
#[test]
fn a_torn_write_leaves_the_batch_before_it_whole() {
    let (_directory, path) = place();
    let mut guard = GuardFile::create(&path, INCARNATION).unwrap();
    guard.write(1, &records(1)).unwrap();
    guard.write(2, &records(2)).unwrap();
    guard.write(3, &records(3)).unwrap();
    damage(&path, 0);
    assert_eq!(newest(&path), Some((2, records(2))));
    let Found::Whole(mut guard, _) = GuardFile::open(&path, INCARNATION).unwrap() else { panic!() };
    guard.write(3, &records(4)).unwrap();
    assert_eq!(newest(&path), Some((3, records(4))), "the torn slot is the one written over");
}

#[test]
fn a_torn_first_batch_is_none_and_two_damaged_slots_are_damage() {
    let (_directory, path) = place();
    let mut guard = GuardFile::create(&path, INCARNATION).unwrap();
    guard.write(1, &records(1)).unwrap();
    damage(&path, 0);
    assert_eq!(newest(&path), None);
    guard.write(2, &records(2)).unwrap();
    damage(&path, 1);
    assert!(matches!(GuardFile::open(&path, INCARNATION).unwrap(), Found::Damaged));
}

#[test]
fn another_stores_file_and_a_foreign_file_are_damage_and_no_file_is_missing() {
    let (_directory, path) = place();
    assert!(matches!(GuardFile::open(&path, INCARNATION).unwrap(), Found::Missing));
    drop(GuardFile::create(&path, [8; 32]).unwrap());
    assert!(matches!(GuardFile::open(&path, INCARNATION).unwrap(), Found::Damaged));
    std::fs::write(&path, b"something else").unwrap();
    assert!(matches!(GuardFile::open(&path, INCARNATION).unwrap(), Found::Damaged));
    assert!(matches!(GuardFile::create(&path, INCARNATION), Err(GuardFileError::Exists { .. })));
}

#[test]
fn only_its_owner_may_read_it() {
    let (_directory, path) = place();
    drop(GuardFile::create(&path, INCARNATION).unwrap());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_batch_at_the_bound_fits_and_one_above_is_refused_before_anything_is_written() {
    let (_directory, path) = place();
    let mut guard = GuardFile::create(&path, INCARNATION).unwrap();
    let framing = slot::encode(1, &[(Family::Votes, vec![], vec![])], &INCARNATION).len();
    let fits = vec![(Family::Votes, vec![], vec![0; MAX_BATCH_BYTES - framing])];
    guard.write(1, &fits).unwrap();
    let above = vec![(Family::Votes, vec![], vec![0; MAX_BATCH_BYTES - framing + 1])];
    assert!(matches!(guard.write(2, &above), Err(GuardFileError::TooLarge { .. })));
    assert_eq!(newest(&path).unwrap().0, 1);
}
