//! The story that `make demo` tells: it fails by itself where anything of it is not true.

#[path = "../../examples/demo/story.rs"]
mod story;

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::support::folder;
use story::Story;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_story_of_the_demo_is_true() {
    let (told, home) = (Mutex::new(String::new()), folder());
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
    let story = Story { folder: home.path().join("demo"), python, letters: 6 };
    let begun = Instant::now();
    let say = |line: &str| {
        let mut told = told.lock().expect("one thread");
        told.push_str(line);
        told.push('\n');
    };
    let ended = story.tell(&say).await;
    let told = told.into_inner().expect("one thread");
    ended.unwrap_or_else(|error| panic!("{error:#}, after:\n{told}"));
    for line in [
        "user_b: Fernwick Instruments, Electronics\n  6 letters are with the mail server, each once\n",
        "  From: anna@fernwick.example\n",
        "  List-Unsubscribe: <http://127.0.0.1:",
        "is told: You are unsubscribed\n",
        "  2 letters; left out: ",
        ", suppressed\n",
        "The mail server has 14 letters in all, and no other one to ",
        "user_b asked for the campaign and the 50 prospects of user_a, and got NOT_FOUND each time.\n",
    ] {
        assert!(told.contains(line), "{line:?} in:\n{told}");
    }
    // Nine pauses of half a second on average: a mail goes when its time has come, not when the engine looks again by itself.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let letters = std::fs::read_dir(home.path().join("demo/mail")).expect("letters").count();
    assert_eq!(letters, 14);
}
