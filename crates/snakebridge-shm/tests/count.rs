//! How many segments there are. A process of its own, because other tests make some.

#![cfg(target_os = "linux")]

use snakebridge_shm::Segment;
use snakebridge_shm::mailbox::Mailbox;

#[test]
fn mailboxes_do_not_count_as_memory_that_can_be_given_back() -> std::io::Result<()> {
    let mailbox = Mailbox::create()?;
    assert_eq!(Segment::count(), 0);
    let segment = Segment::new(1)?;
    assert_eq!(Segment::count(), 1);
    drop((mailbox, segment));
    assert_eq!(Segment::count(), 0);
    Ok(())
}
