//! What is written at its times, and what is told to who was away.

use aiemp_keys::Hash;
use aiemp_node::core::{Brain, Input, Report};
use aiemp_protocol::{
    action::ActionKind,
    approval::{Outcome, Receipt},
    ids::{ActionHash, FileId, WorkId},
    roster::Role,
    zone::Zone,
};
use aiemp_tests::{people, world::World};

use super::{
    agents::tasks,
    books::{day, know_banks, line, statement},
    scenarios::{LAPTOP, pass, path, rename, save, settle, text, world},
};

const HOUR: u64 = 3_600_000;

fn due(world: &mut World, node: usize, report: Report) {
    let today = day(world, 0).parse().expect("a day");
    world.input(node, Input::ReportDue(report, today)).expect("it is due");
    pass(world, 10_000);
}

fn report(world: &World, node: usize, ends: &str) -> String {
    let names = tasks(world, node, "Briefings/");
    let name = names.iter().find(|name| name.ends_with(ends)).unwrap_or_else(|| panic!("{ends} is not in {names:?}"));
    text(world, node, name).expect("it is there")
}

/// A mesh that knows its banks, whose Cloud answered a mail.
fn working(seed: u64) -> World {
    let mut world = world(seed, &[LAPTOP, ("cloud", Role::Cloud, Brain::Template)], &[(0, 1)]);
    know_banks(&mut world, &[0]);
    people::save(&mut world, 1, path("Inbox/one.eml"), people::mail(1, "soon"));
    pass(&mut world, 60_000);
    world
}

#[test]
fn the_briefing_has_its_sections_with_figures_that_were_counted() {
    let mut world = working(850);
    let goals = format!(
        "- Monthly goal: €2,000\n| Client response time | < 2 hours | > 4 hours |\n1. Project Alpha - Due {} - Budget\n",
        day(&world, 0)
    );
    save(&mut world, 0, "Business_Goals.md", &goals);
    let mut lines = vec![line(&world, 0, "Client A", "1500.00"), line(&world, 3, "Client B", "250.00")];
    for month in 0..4 {
        lines.push(line(&world, month * 30, "NOTION", if month == 0 { "-20.00" } else { "-15.00" }));
    }
    save(&mut world, 0, "Accounting/Statements/main/all.csv", &statement(&lines));
    pass(&mut world, 30_000);
    // The mail waits for longer than it should; and then it is done.
    pass(&mut world, 3 * HOUR);
    let task = tasks(&world, 0, "In_Progress/").remove(0);
    let done = format!("Done/email/{}", task.rsplit_once('/').expect("a folder").1);
    rename(&mut world, 0, &[(&task, &done)]);
    pass(&mut world, 30_000);
    due(&mut world, 0, Report::Briefing);
    let told = report(&world, 0, "_Monday_Briefing.md");
    for piece in [
        "\n## Summary\n\nDone: 1. Sent: none. Open: 0, of those late: 0. Waiting for your approval: 1. Income of the week: ",
        "\n## Revenue\n\n- **This week**: ",
        "% of the goal, 2000.00 EUR)",
        "- **Trend**: ",
        "\n## Completed tasks\n\n- [x] ",
        "\n## Bottlenecks\n\n| Task | Expected | Actual | Delay |\n",
        " | 2 h | 3 h | 1 h |",
        "\n## Suggestions\n\nCosts that come back each month: 20.00 EUR.\n\n- NOTION: 20.00 EUR each month, last on ",
        ", **33 % more than the time before**. Is it still needed?",
        "\n## Deadlines\n\n- Project Alpha: ",
        " (today)\n",
    ] {
        assert!(told.contains(piece), "{piece} is not in {told}");
    }
    // It is private, it is written once, and by the executor alone.
    assert_eq!(tasks(&world, 1, "Briefings/"), [""; 0]);
    due(&mut world, 0, Report::Briefing);
    due(&mut world, 1, Report::Briefing);
    assert_eq!(tasks(&world, 0, "Briefings/").len(), 1);
    settle(&mut world);
}

#[test]
fn a_briefing_without_anything_says_what_it_lacks() {
    let mut world = world(851, &[LAPTOP, ("cloud", Role::Cloud, Brain::Template)], &[(0, 1)]);
    pass(&mut world, 10_000);
    due(&mut world, 0, Report::Briefing);
    due(&mut world, 0, Report::Audit);
    let told = report(&world, 0, "_Monday_Briefing.md");
    assert!(told.contains("No statement of a bank is here") && told.contains("## Deadlines\n\nNone.\n"), "{told}");
    assert_eq!(report(&world, 0, "_Weekly_Audit.md").matches("None.\n").count(), 10);
    settle(&mut world);
}

#[test]
fn the_audit_names_what_waits_too_long() {
    let mut world = working(852);
    pass(&mut world, 80 * HOUR);
    due(&mut world, 0, Report::Audit);
    let told = report(&world, 0, "_Weekly_Audit.md");
    let waits = told.split_once("## Drafts that wait for you").expect("a section").1;
    assert!(waits.contains("- [[Pending_Approval/email/REPLY_") && waits.contains("]]: 3 d 8 h\n"), "{told}");
    assert!(waits.contains("[[In_Progress/cloud/"), "{told}");
    settle(&mut world);
}

#[test]
fn who_comes_back_is_told_what_happened_meanwhile() {
    let mut world = working(853);
    let board = |world: &World| text(world, 0, "Dashboard.md").expect("a dashboard");
    assert!(!board(&world).contains("While you were away"), "{}", board(&world));
    world.crash(0, 5 * HOUR);
    for number in 2..4 {
        pass(&mut world, HOUR);
        people::save(&mut world, 1, path(&format!("Inbox/{number}.eml")), people::mail(number, "soon"));
    }
    pass(&mut world, 4 * HOUR);
    let told = board(&world);
    assert!(told.contains("**While you were away** (") && told.contains("): 2 email came in, 2 drafted\n"), "{told}");
    // What comes while it is there is no part of it.
    people::save(&mut world, 1, path("Inbox/9.eml"), people::mail(9, "soon"));
    pass(&mut world, 120_000);
    assert!(board(&world).contains("): 2 email came in, 2 drafted\n"), "{}", board(&world));
    settle(&mut world);
}

/// The receipt of a payment that was made now.
fn paid(world: &mut World, number: u8, payee: &str) {
    let note = format!(
        "---\naction: payment\nhand: bank\npayee: {payee}\naccount: DE02120300000000202051\namount: 100.00\ncurrency: EUR\n\
         reference: Invoice {number}\n---\n"
    );
    let hash = |what: &str| Hash::of_content(format!("{what} {number}").as_bytes());
    let receipt = Receipt {
        action: ActionHash(hash("action")),
        work: WorkId(hash("work")),
        kind: ActionKind::Payment,
        file: FileId { zone: Zone::Drafts, hash: hash("file") },
        nonce: [number; 16],
        outcome: Outcome::Sent,
        at: world.time(),
        message_id: None,
        detail: String::new(),
        note: note.into_bytes(),
        unattended: false,
        standing: None,
    };
    world.input(0, Input::ReceiptFound(receipt)).expect("it is found");
}

#[test]
fn the_audit_tells_of_each_payment_whether_the_bank_booked_it() {
    let mut world = working(854);
    for (number, payee) in [(1, "Client A"), (2, "Client B"), (3, "Client C")] {
        paid(&mut world, number, payee);
    }
    let lines = [line(&world, 0, "CLIENT B invoice", "-100.00"), line(&world, 0, "Hotel", "-100.00")];
    save(&mut world, 0, "Accounting/Statements/main/all.csv", &statement(&lines));
    pass(&mut world, 30_000);
    due(&mut world, 0, Report::Audit);
    let told = report(&world, 0, "_Weekly_Audit.md");
    let payments = told.split_once("## Payments").expect("a section").1.split_once("\n## ").expect("an end").0;
    assert!(payments.contains("- Client B: 100.00 EUR, booked on 20"), "{payments}");
    assert_eq!(payments.matches(", under another name: ").count(), 1, "{payments}");
    assert_eq!(payments.matches("**not in a statement yet**").count(), 1, "{payments}");
    assert_eq!(told.matches("| payment | ").count(), 3, "{told}");
    // A week later it is asked for still, and nothing is told twice.
    pass(&mut world, 7 * 24 * HOUR);
    due(&mut world, 0, Report::Audit);
    let all = tasks(&world, 0, "Briefings/");
    assert_eq!(all.len(), 2, "{all:?}");
    let second = text(&world, 0, all.last().expect("two")).expect("it is there");
    assert!(second.contains("**not in a statement yet**") && !second.contains("| payment | "), "{second}");
    settle(&mut world);
}

#[test]
fn names_that_others_gave_stand_as_words_in_what_the_person_reads() {
    let mut world = working(855);
    let evil = "Pending_Approval/`$= dv.x()`/a]] ![[b.md";
    save(&mut world, 1, evil, "---\naction: email\n---\n");
    pass(&mut world, 80 * HOUR);
    for report in [Report::Audit, Report::Digest] {
        due(&mut world, 0, report);
    }
    let digest = tasks(&world, 0, "Updates/DIGEST_").remove(0);
    let texts = [report(&world, 0, "_Weekly_Audit.md"), text(&world, 0, &digest).expect("it is there")];
    for told in texts.into_iter().chain(text(&world, 0, "Dashboard.md")) {
        assert!(told.contains("\\`\\$\\= dv.x()\\`"), "{told}");
        assert!(!told.contains("![[b") && !told.contains("`$= dv"), "{told}");
    }
    settle(&mut world);
}
