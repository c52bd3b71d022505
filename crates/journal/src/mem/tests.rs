use std::io::{ErrorKind, IoSlice};

use super::*;

const NO: fn() -> bool = || false;
const YES: fn() -> bool = || true;

fn write(file: &MemFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
    file.write_at(offset, &[IoSlice::new(bytes)])
}

/// One durable file "x" of `bytes` zeros.
fn disk(bytes: u64) -> (MemDisk, MemFile) {
    let disk = MemDisk::new();
    let file = disk.create("x", bytes).expect("create");
    file.sync().expect("sync");
    disk.sync_dir().expect("sync_dir");
    (disk, file)
}

#[test]
fn a_file_needs_both_its_own_sync_and_that_of_the_directory() {
    let disk = MemDisk::new();
    disk.create("x", 3).expect("create").sync().expect("sync");
    let other = disk.fork();
    disk.power_loss(NO);
    assert_eq!(disk.contents("x"), None);
    other.power_loss(YES);
    assert_eq!(other.contents("x"), Some(vec![0; 3]));
}

#[test]
fn any_sector_of_an_unsynced_write_may_be_lost() {
    let (disk, file) = disk(2048);
    write(&file, 100, &[7; 1000]).expect("write");
    assert_eq!(disk.unsynced(), 3);
    let mut fates = [true, false, true].into_iter();
    disk.power_loss(|| fates.next().expect("three pieces"));
    let contents = disk.contents("x").expect("still there");
    assert_eq!(contents[100..512], [7; 412]);
    assert_eq!(contents[512..1024], [0; 512]);
    assert_eq!(contents[1024..1100], [7; 76]);
    assert!(
        write(&file, 0, &[1]).is_err(),
        "the file died with the power"
    );
}

#[test]
fn directory_changes_survive_in_order() {
    let (disk, _) = disk(1);
    disk.rename("x", "y").expect("rename");
    disk.remove("y").expect("remove");
    let mut fates = [true, false].into_iter();
    disk.power_loss(|| fates.next().expect("two changes"));
    assert_eq!(disk.list().expect("list"), ["y"]);
}

#[test]
fn after_a_failed_sync_the_cache_lies_until_it_is_forgotten() {
    let (disk, file) = disk(4);
    write(&file, 0, b"lost").expect("write");
    disk.fail_call(1, Fault::Io);
    assert!(file.sync().is_err());
    assert!(file.sync().is_ok(), "the second sync finds nothing to do");
    assert_eq!(disk.contents("x").as_deref(), Some(&b"lost"[..]));
    file.forget_cached().expect("forget");
    assert_eq!(disk.contents("x"), Some(vec![0; 4]));
}

#[test]
fn a_full_disk_takes_neither_files_nor_growth() {
    let (disk, file) = disk(10);
    disk.set_capacity(Some(15));
    let refused = |result: io::Result<()>| result.err().map(|error| error.kind());
    assert_eq!(
        refused(disk.create("y", 6).map(drop)),
        Some(ErrorKind::StorageFull)
    );
    assert_eq!(
        refused(write(&file, 12, &[0; 4])),
        Some(ErrorKind::StorageFull)
    );
    assert_eq!(refused(write(&file, 0, &[1; 15])), None);
}

#[test]
fn the_planned_call_fails_and_a_crash_freezes() {
    let (disk, file) = disk(4);
    disk.fail_call(2, Fault::Crash);
    write(&file, 0, b"a").expect("the first call is not the planned one");
    assert!(write(&file, 1, b"b").is_err());
    assert!(file.sync().is_err(), "frozen");
    disk.thaw();
    assert_eq!(disk.contents("x").as_deref(), Some(&b"ab\0\0"[..]));
    assert_eq!(disk.unsynced(), 2);
}

#[test]
fn short_reads_give_less_than_asked_but_end_at_the_end() {
    let (disk, file) = disk(9);
    disk.set_short_reads(true);
    let mut buffer = [1; 20];
    assert_eq!(file.read_at(0, &mut buffer).expect("read"), 4);
    assert_eq!(
        crate::disk::read_full(&file, 0, &mut buffer).expect("read"),
        9
    );
}

#[test]
fn a_flipped_bit_stays_flipped_through_sync_and_power_loss() {
    let (disk, file) = disk(600);
    write(&file, 10, &[1; 10]).expect("write");
    for bit in [0, 12 * 8] {
        disk.flip("x", bit);
    }
    for _ in ["before the sync", "after it"] {
        let mut buffer = [9; 13];
        file.read_at(0, &mut buffer).expect("read");
        assert_eq!((buffer[0], buffer[11], buffer[12]), (1, 1, 0));
        file.sync().expect("sync");
    }
    disk.power_loss(NO);
    let contents = disk.contents("x").expect("still there");
    assert_eq!((contents[0], contents[11], contents[12]), (1, 1, 0));
}
