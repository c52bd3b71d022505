//! Requests whose fate is open, found by their ticket without a search.

use quorate_core::Ticket;

/// A table of waiting requests. A ticket is a place in it and the generation of its tenant, so that a ticket that
/// was answered finds nothing, not the next tenant.
#[derive(Debug)]
pub(crate) struct Waiting<T> {
    places: Vec<Place<T>>,
    /// The first free place; as many as there are places: none.
    free: u32,
    open: usize,
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    tenant: Tenant<T>,
}

#[derive(Debug)]
enum Tenant<T> {
    Waiting(T),
    /// The next free place.
    Free(u32),
}

impl<T> Waiting<T> {
    pub(crate) const fn new() -> Self {
        Self {
            places: Vec::new(),
            free: 0,
            open: 0,
        }
    }

    /// Takes a request in and names it.
    pub(crate) fn insert(&mut self, request: T) -> Ticket {
        let index = self.free;
        self.open += 1;
        let tenant = Tenant::Waiting(request);
        if let Some(place) = self.places.get_mut(index as usize) {
            let Tenant::Free(next) = std::mem::replace(&mut place.tenant, tenant) else {
                unreachable!("the list of free places holds free ones")
            };
            self.free = next;
            return ticket(place.generation, index);
        }
        self.places.push(Place {
            generation: 0,
            tenant,
        });
        self.free = self.places.len() as u32;
        ticket(0, index)
    }

    /// Hands the request out, if it still waits.
    pub(crate) fn take(&mut self, ticket: Ticket) -> Option<T> {
        let index = ticket.0 as u32;
        let place = self.places.get_mut(index as usize)?;
        let current = u64::from(place.generation) == ticket.0 >> 32;
        if !current || matches!(place.tenant, Tenant::Free(_)) {
            return None;
        }
        let tenant = std::mem::replace(&mut place.tenant, Tenant::Free(self.free));
        place.generation = place.generation.wrapping_add(1);
        self.free = index;
        self.open -= 1;
        match tenant {
            Tenant::Waiting(request) => Some(request),
            Tenant::Free(_) => unreachable!("looked at above"),
        }
    }

    /// How many wait.
    pub(crate) const fn open(&self) -> usize {
        self.open
    }
}

fn ticket(generation: u32, index: u32) -> Ticket {
    Ticket(u64::from(generation) << 32 | u64::from(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_finds_its_request_once() {
        let mut waiting = Waiting::new();
        let tickets: Vec<_> = (0..5).map(|number| waiting.insert(number)).collect();
        assert_eq!(waiting.take(tickets[3]), Some(3));
        assert_eq!(waiting.take(tickets[3]), None);
        assert_eq!(waiting.open(), 4);
    }

    #[test]
    fn a_place_is_let_again_under_another_ticket() {
        let mut waiting = Waiting::new();
        let tickets: Vec<_> = (0..3).map(|number| waiting.insert(number)).collect();
        waiting.take(tickets[0]);
        waiting.take(tickets[2]);
        let again = [waiting.insert(10), waiting.insert(11), waiting.insert(12)];
        assert_eq!(
            waiting.take(tickets[2]),
            None,
            "its place has another tenant"
        );
        assert_eq!(
            again.map(|ticket| waiting.take(ticket)),
            [Some(10), Some(11), Some(12)]
        );
        assert_eq!(waiting.places.len(), 4);
        assert_eq!(waiting.take(tickets[1]), Some(1));
        assert_eq!(waiting.open(), 0);
    }
}
