#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use super::*;

fn written(disk: &SimDisk, synced: &[u8], unsynced: &[u8]) -> SimFile {
    let file = disk.create("a", 0).unwrap();
    file.write_at(0, &[IoSlice::new(synced)]).unwrap();
    file.sync().unwrap();
    disk.sync_dir().unwrap();
    file.write_at(synced.len() as u64, &[IoSlice::new(unsynced)])
        .unwrap();
    file
}

fn contents(disk: &SimDisk) -> Vec<u8> {
    let file = disk.open("a").unwrap();
    let mut bytes = vec![0; file.bytes().unwrap() as usize];
    let mut done = 0;
    while done < bytes.len() {
        done += file.read_at(done as u64, &mut bytes[done..]).unwrap();
    }
    bytes
}

#[test]
fn a_loss_of_power_leaves_what_was_synced_and_maybe_sectors_of_the_rest() {
    for seed in 0..50 {
        let disk = SimDisk::new(Rng::new(seed));
        let file = written(&disk, &[1; 600], &[2; 2000]);
        disk.power_loss([Survival::Nothing, Survival::Sectors][seed as usize % 2]);
        assert!(file.bytes().is_err(), "the file of the former boot is dead");
        let left = contents(&disk);
        assert_eq!(left[..600], [1; 600]);
        assert!(seed % 2 == 1 || left.len() == 600);
    }
}

#[test]
fn a_failed_sync_leaves_a_cache_that_lies() {
    let disk = SimDisk::new(Rng::new(0));
    let file = written(&disk, b"safe", b"lost");
    disk.plan(1, CallFault::Io);
    assert!(file.sync().is_err());
    file.sync().unwrap();
    assert_eq!(contents(&disk), b"safelost", "a second sync claims success");
    file.forget_cached().unwrap();
    assert_eq!(contents(&disk), b"safe");
}

#[test]
fn a_name_that_was_not_synced_may_vanish() {
    let disk = SimDisk::new(Rng::new(0));
    disk.create("a", 10).unwrap().sync().unwrap();
    disk.power_loss(Survival::Nothing);
    assert!(disk.open("a").is_err());
}

#[test]
fn after_a_crash_in_a_call_nothing_answers_until_power_is_back() {
    let disk = SimDisk::new(Rng::new(0));
    let file = written(&disk, b"safe", b"");
    disk.plan(1, CallFault::Crash);
    assert!(file.write_at(0, &[IoSlice::new(b"torn")]).is_err());
    assert!(disk.is_dead() && disk.list().is_err());
    disk.power_loss(Survival::Nothing);
    assert_eq!(contents(&disk), b"safe");
}

#[test]
fn a_full_disk_refuses_to_grow() {
    let disk = SimDisk::new(Rng::new(0));
    disk.create("a", 10).unwrap();
    disk.limit(Some(5));
    assert_eq!(
        disk.create("b", 6).map(drop).unwrap_err().kind(),
        io::ErrorKind::StorageFull
    );
    disk.create("b", 5).unwrap();
}

#[test]
fn short_reads_still_give_all_bytes_in_the_end() {
    let disk = SimDisk::new(Rng::new(0));
    written(&disk, b"whole", b"");
    disk.short_reads(true);
    assert_eq!(contents(&disk), b"whole");
}

#[test]
fn decay_strikes_only_the_older_half() {
    for seed in 0..40 {
        let disk = SimDisk::new(Rng::new(seed));
        let file = disk.create("1.segment", 0).unwrap();
        file.write_at(0, &[IoSlice::new(&vec![7; 20_000])]).unwrap();
        file.sync().unwrap();
        disk.sync_dir().unwrap();
        disk.rot(Rot::Flip, &mut Rng::new(seed))
            .expect("old enough");
        let mut bytes = vec![0; 20_000];
        disk.open("1.segment")
            .unwrap()
            .read_at(0, &mut bytes)
            .unwrap();
        let spoilt: Vec<usize> = (0..20_000).filter(|at| bytes[*at] != 7).collect();
        assert!(spoilt.len() == 1 && spoilt[0] < 10_000, "{spoilt:?}");
    }
}

/// Two segments of two writes each, and a small file beside them.
fn long_ago() -> SimDisk {
    let disk = SimDisk::new(Rng::new(3));
    for name in ["1.segment", "2.segment"] {
        let file = disk.create(name, 0).unwrap();
        for (at, byte) in [(4_096, 1), (10_000, 2)] {
            file.write_at(at, &[IoSlice::new(&[byte; 4_000])]).unwrap();
            file.sync().unwrap();
        }
    }
    let file = disk.create("head", 0).unwrap();
    file.write_at(0, &[IoSlice::new(&[3; 84])]).unwrap();
    file.sync().unwrap();
    disk.sync_dir().unwrap();
    disk
}

fn whole(disk: &SimDisk, name: &str) -> Option<Vec<u8>> {
    let file = disk.open(name).ok()?;
    let mut bytes = vec![0; file.bytes().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    Some(bytes)
}

#[test]
fn an_old_copy_takes_the_place_of_any_segment_but_the_newest() {
    let disk = long_ago();
    let [first, second] = ["1.segment", "2.segment"].map(|name| whole(&disk, name));
    disk.rot(Rot::Old, &mut Rng::new(1)).expect("there is one");
    let old = whole(&disk, "1.segment").unwrap();
    assert_eq!(old[..], first.unwrap()[..8_096]);
    assert_eq!(whole(&disk, "2.segment"), second);
}

#[test]
fn every_file_may_decay_and_one_at_a_time() {
    let names = ["1.segment", "2.segment", "head"];
    let mut struck = [0; 3];
    for seed in 0..120 {
        let disk = long_ago();
        let before = names.map(|name| whole(&disk, name));
        let rot = Rot::ALL[seed as usize % 5];
        disk.rot(rot, &mut Rng::new(seed)).expect("old enough");
        let after = names.map(|name| whole(&disk, name));
        for (struck, (before, after)) in struck.iter_mut().zip(before.iter().zip(&after)) {
            *struck += u32::from(before != after);
        }
    }
    assert!(struck.iter().sum::<u32>() <= 120);
    assert!(struck.iter().all(|count| *count > 10), "{struck:?}");
}
