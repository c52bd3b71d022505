//! What time does to data at rest.

use quorate_core::Rng;

use super::Rot;
use super::medium::{HEADER, Medium, SECTOR};

/// A file that may decay, and where.
struct Candidate {
    name: String,
    inode: usize,
    from: usize,
    to: usize,
}

impl Medium {
    /// See [`SimDisk::rot`](super::SimDisk::rot).
    pub(super) fn rot(&mut self, rot: Rot, rng: &mut Rng) -> Option<String> {
        let segments = rot == Rot::Old || rng.one_in(2);
        let mut candidates = self.candidates(segments);
        if candidates.is_empty() && rot != Rot::Old {
            candidates = self.candidates(!segments);
        }
        if rot == Rot::Old {
            // Nothing behind it: what the newest segment held last is known to nobody else on this disk.
            candidates.pop();
            candidates.retain(|one| self.inodes[one.inode].begun.is_some());
        }
        let count = candidates.len() as u64;
        let Candidate {
            name,
            inode,
            from,
            to,
        } = candidates.into_iter().nth(rng.below(count) as usize)?;
        let at = from + rng.below((to - from) as u64) as usize;
        let sector = at / SECTOR * SECTOR;
        let file = &mut self.inodes[inode];
        let bytes = &mut file.durable;
        let end = bytes.len().min(sector + SECTOR);
        match rot {
            Rot::Flip => bytes[at] ^= 1 << rng.below(8),
            Rot::Zeros => bytes[sector..end].fill(0),
            Rot::Stray if sector >= SECTOR => {
                bytes.copy_within(sector - SECTOR..end - SECTOR, sector);
            }
            Rot::Stray => bytes[sector..end].reverse(),
            Rot::Empty => bytes.clear(),
            Rot::Lost => {
                self.durable_names.remove(&name);
                self.names.remove(&name);
            }
            Rot::Old => bytes.clone_from(file.begun.as_ref()?),
        }
        // What the medium has lost, the cache has lost too by the time anyone looks.
        file.cached.clone_from(&file.durable);
        file.changes.clear();
        Some(format!("{rot:?} of {name} at {at}"))
    }

    /// Segments, or all other files that are complete.
    fn candidates(&self, segments: bool) -> Vec<Candidate> {
        let candidate = |(name, inode): (&String, &usize)| {
            let bytes = &self.inodes[*inode].durable;
            let end = bytes.iter().rposition(|byte| *byte != 0)? + 1;
            let (from, to) = if segments {
                (HEADER, end / 2)
            } else {
                (0, end)
            };
            let fits = to > from + if segments { 2 * SECTOR } else { 0 };
            // Where a name ends in a dot and more: what it is for.
            let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
            let kind = (ending == "segment") == segments && ending != "tmp";
            (kind && fits).then(|| Candidate {
                name: name.clone(),
                inode: *inode,
                from,
                to,
            })
        };
        self.durable_names.iter().filter_map(candidate).collect()
    }
}
