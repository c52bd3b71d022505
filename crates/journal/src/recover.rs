//! Opening a journal: whose it is, what it holds, what has to be cut, which run this is.

use std::collections::VecDeque;

use quorate_core::{Incarnation, Life, Mark};

use crate::batch::Batch;
use crate::error::At;
use crate::format::{Owner, PAGE, segment_generation, segment_name};
use crate::head::{HEAD, HEAD_TEMP, Head, HeadFile};
use crate::journal::Store;
use crate::peer_book::{PEERS, PEERS_TEMP};
use crate::records::Records;
use crate::scan::{Cursor, Image};
use crate::segments::{Closed, Open, SEGMENT_TEMP, Segments};
use crate::snapshot::is_snapshot;
use crate::survey::{Cut, Segment, Survey};
use crate::watermark::{WATERMARK, WatermarkFile};
use crate::{Disk, Durability, Identity, Journal, JournalConfig, JournalError};

/// What was found when the journal was opened.
pub struct Recovery<D: Disk> {
    /// The identity of this directory.
    pub incarnation: Incarnation,
    /// This run: higher than every run before, already durable.
    pub life: Life,
    /// Whether the directory was made just now, so that nothing was ever promised from it.
    pub is_new: bool,
    /// The oldest record; if there is none, the next.
    pub first: Mark,
    /// The last record; one less than `first` if there is none.
    pub last: Mark,
    /// What was cut off the end, as it had never been acknowledged.
    pub cut: Vec<Cut>,
    records: Records<D>,
}

impl<D: Disk> Recovery<D> {
    /// The records from `first` to `last`, read from disk one segment at a time. To be taken before
    /// anything is reclaimed.
    pub fn records(&self) -> Records<D> {
        self.records.clone()
    }
}

impl<D: Disk> Journal<D> {
    /// Opens the journal in `disk`, or makes one if there is none and `identity` gives a fresh incarnation.
    ///
    /// When it returns, all it found is on the medium (`RELIABILITY` E2), what was torn is cut, and the new
    /// [`Life`] is durable. If it refuses, nothing but abandoned temporary files was changed.
    pub fn open(
        disk: D,
        identity: Identity,
        config: JournalConfig,
    ) -> Result<(Self, Recovery<D>), JournalError> {
        config.validate()?;
        let names = disk.list().at("list", "the directory")?;
        for temp in [HEAD_TEMP, SEGMENT_TEMP, PEERS_TEMP] {
            if names.iter().any(|name| name == temp) {
                disk.remove(temp).at("remove", temp)?;
            }
        }
        if !names.iter().any(|name| name == HEAD) {
            refuse_orphans(&names)?;
            return begin(disk, identity, config, None, &names);
        }
        let head = HeadFile::open(&disk)?;
        let owner = head.head.owner;
        if owner.cluster != identity.cluster || owner.member != identity.member {
            return Err(JournalError::WrongIdentity {
                cluster: identity.cluster,
                member: identity.member,
                found_cluster: owner.cluster,
                found_member: owner.member,
            });
        }
        if head.head.first_generation == 0 {
            return begin(disk, identity, config, Some(head), &names);
        }
        if config.durability == Durability::Memory {
            let why = "durability is memory, but the directory holds a log that would be forgotten";
            return Err(JournalError::Config(why.to_owned()));
        }
        resume(disk, identity, config, head, &names)
    }
}

/// Segments without a head are not a new directory: what was promised went with the head (`RELIABILITY` C6).
fn refuse_orphans(names: &[String]) -> Result<(), JournalError> {
    let orphan = names.iter().find(|name| {
        *name == WATERMARK
            || *name == PEERS
            || segment_generation(name).is_some()
            || is_snapshot(name)
    });
    match orphan {
        None => Ok(()),
        Some(name) => {
            let why = format!("the head is missing although there is {name}");
            Err(JournalError::corrupt(HEAD, 0, None, why))
        }
    }
}

/// Starts a log: for the first time, after a start that did not get so far, or in memory.
fn begin<D: Disk>(
    disk: D,
    identity: Identity,
    config: JournalConfig,
    old: Option<HeadFile<D>>,
    names: &[String],
) -> Result<(Journal<D>, Recovery<D>), JournalError> {
    let owner = Owner {
        cluster: identity.cluster,
        member: identity.member,
        incarnation: identity.fresh.ok_or(JournalError::Missing)?,
    };
    let mut head = Head {
        sequence: 0,
        owner,
        life: Life(identity.unix_micros.max(1)),
        first_generation: 0,
        first_mark: Mark(1),
        first_link: owner.first_link(),
    };
    let mut file = match old {
        None => HeadFile::create(&disk, head)?,
        Some(mut file) => {
            remove_unused(&disk, &file.head, names)?;
            head.life = head.life.max(file.head.life.next());
            file.store(head)?;
            file
        }
    };
    let mut store = None;
    if config.durability != Durability::Memory {
        let watermark = WatermarkFile::create(&disk, &owner)?;
        let tail = Segments::create(&disk, owner, 1, config.segment_bytes)?;
        head.first_generation = 1;
        file.store(head)?;
        store = Some(Store {
            segments: Segments::new(tail, owner, config.segment_bytes),
            watermark,
        });
    }
    let cursor = Cursor {
        next: head.first_mark,
        link: head.first_link,
    };
    let records = Records::new(disk.clone(), owner, Vec::new());
    let recovery = report(&file.head, true, cursor, Vec::new(), records);
    Ok((assemble(disk, config, file, store, cursor)?, recovery))
}

/// A head that says that there was never a segment goes with no more than the blank first one of a
/// start that was interrupted; a record would mean that the head is an old one.
fn remove_unused<D: Disk>(disk: &D, head: &Head, names: &[String]) -> Result<(), JournalError> {
    for name in names {
        let Some(generation) = segment_generation(name) else {
            continue;
        };
        let file = disk.open(name).at("open", name)?;
        let image = Image::read::<D>(&file, &head.owner, generation, Vec::new())?;
        if generation != 1 || image.rest(PAGE).end > PAGE {
            let why = format!("the head knows of no log, but there is {name}: it is an old head");
            return Err(JournalError::corrupt(HEAD, 0, None, why));
        }
        disk.remove(name).at("remove", name)?;
    }
    // The head is about to name another incarnation, under which that segment would be a stranger.
    disk.sync_dir().at("sync directory of", HEAD)
}

/// Continues a log.
fn resume<D: Disk>(
    disk: D,
    identity: Identity,
    config: JournalConfig,
    mut head: HeadFile<D>,
    names: &[String],
) -> Result<(Journal<D>, Recovery<D>), JournalError> {
    let owner = head.head.owner;
    if !names.iter().any(|name| name == WATERMARK) {
        let why = "the watermark is missing: what was acknowledged last is not known";
        return Err(JournalError::corrupt(WATERMARK, 0, None, why));
    }
    let mut watermark = WatermarkFile::open(&disk, &owner)?;
    let survey = Survey::take(&disk, &head.head, watermark.durable, names)?;
    let cuts = survey.cuts();
    for cut in &cuts {
        let Cut {
            file,
            offset,
            bytes,
            records,
        } = cut;
        tracing::warn!(
            file,
            offset,
            bytes,
            records,
            "cutting what was never acknowledged"
        );
    }
    let segments = repair(&disk, &owner, &survey, config.segment_bytes)?;
    remove_dead(&disk, head.head.first_generation, names)?;
    let life = Life(identity.unix_micros).max(head.head.life.next());
    head.store(Head { life, ..head.head })?;
    let cursor = survey.segments[survey.tail].after;
    watermark.store(cursor.next.prev())?;
    let store = Some(Store {
        segments,
        watermark,
    });
    let records = Records::new(disk.clone(), owner, survey.segments);
    let recovery = report(&head.head, false, cursor, cuts, records);
    Ok((assemble(disk, config, head, store, cursor)?, recovery))
}

/// Overwrites what is to be cut, durably, and opens the segments for writing.
fn repair<D: Disk>(
    disk: &D,
    owner: &Owner,
    survey: &Survey,
    bytes: u64,
) -> Result<Segments<D>, JournalError> {
    let (before, behind) = survey.segments.split_at(survey.tail);
    let mut opened = VecDeque::new();
    for segment in behind {
        let name = segment_name(segment.generation);
        let open = Open {
            file: disk.open(&name).at("open", &name)?,
            generation: segment.generation,
            capacity: segment.capacity,
            offset: segment.end,
        };
        if let Some(end) = segment.cut_end() {
            open.clear(segment.end, end)?;
        }
        opened.push_back(open);
    }
    let tail = opened.pop_front().expect("a log has at least one segment");
    let mut segments = Segments::new(tail, *owner, bytes);
    segments.closed = before.iter().map(closed).collect();
    // A spare segment of another size than is configured now is made anew; the last one goes first, so that
    // no gap appears.
    let fitting = opened
        .iter()
        .take_while(|open| open.capacity == bytes)
        .count();
    for open in opened.drain(fitting..).rev() {
        let name = segment_name(open.generation);
        disk.remove(&name).at("remove", &name)?;
    }
    segments.ready = opened;
    Ok(segments)
}

fn closed(segment: &Segment) -> Closed {
    Closed {
        generation: segment.generation,
        after: segment.after,
    }
}

/// Removes the segments that were reclaimed already, but whose removal did not survive.
fn remove_dead<D: Disk>(disk: &D, first: u64, names: &[String]) -> Result<(), JournalError> {
    let dead = |name: &&String| segment_generation(name).is_some_and(|number| number < first);
    for name in names.iter().filter(dead) {
        disk.remove(name).at("remove", name)?;
    }
    Ok(())
}

fn report<D: Disk>(
    head: &Head,
    is_new: bool,
    cursor: Cursor,
    cut: Vec<Cut>,
    records: Records<D>,
) -> Recovery<D> {
    Recovery {
        incarnation: head.owner.incarnation,
        life: head.life,
        is_new,
        first: head.first_mark,
        last: cursor.next.prev(),
        cut,
        records,
    }
}

/// A journal that knows whether it has room.
fn assemble<D: Disk>(
    disk: D,
    config: JournalConfig,
    head: HeadFile<D>,
    store: Option<Store<D>>,
    cursor: Cursor,
) -> Result<Journal<D>, JournalError> {
    let mut journal = Journal {
        disk,
        config,
        head,
        store,
        batch: Batch::default(),
        cursor,
        synced: cursor.next.prev(),
        acknowledged: cursor.next.prev(),
        failed: None,
    };
    journal.make_room()?;
    Ok(journal)
}
