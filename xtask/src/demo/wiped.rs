//! A member whose disk was lost.

use anyhow::{Result, bail};

use super::members::Members;
use crate::cluster::status::Status;

/// The exit code of a member whose disk is not the one that the others have met.
const WIPED: i32 = 66;

/// Starts the member, which does not run and whose disk is empty, and sees that it is refused as itself: others counted on
/// what it remembered.
///
/// # Errors
/// If it is taken back.
pub(crate) async fn refuse(members: &mut Members, id: u16) -> Result<()> {
    match members.refused(id).await? {
        Some(WIPED) => members.erase(id),
        code => {
            bail!("member {id} came back without its disk and ended with {code:?}, not {WIPED}")
        }
    }
}

/// Lets a new member take the place of one that is gone for good; waits until it votes there.
///
/// # Errors
/// If it does not come up, does not catch up, or is refused.
pub(crate) async fn replace(members: &mut Members, old: u16, new: u16) -> Result<()> {
    join(members, new, &["REPLACE", &old.to_string()]).await?;
    let what = format!("member {new} gets the place of member {old}");
    let replaced = |status: &Status| status.has_voter(new) && !status.has_member(old);
    members.directory().until(&what, replaced).await?;
    members.forget(old)
}

/// Starts a new member, and adds it as a learner that wishes so.
///
/// # Errors
/// If it does not come up, or is refused.
pub(crate) async fn join(members: &mut Members, id: u16, wish: &[&str]) -> Result<()> {
    let (_, status) = members.directory().leader().await?;
    members.join(id, status.voters()).await?;
    let (name, address) = (id.to_string(), members.layout().peer_addr(id));
    let words = [&["ADD", &name, &address], wish].concat();
    let added = |status: &Status| status.has_member(id);
    members.directory().order_unless(&words, added).await?;
    Ok(())
}
