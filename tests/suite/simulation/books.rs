//! The books: what statements say, once, wherever they come from and whatever fails meanwhile.

use std::time::Duration;

use aiemp_node::core::{Answer, Arrival, Bank, Input, Question, agent::Told};
use aiemp_protocol::roster::Role;
use aiemp_tests::world::{Cast, World};

use super::{
    removals::remove,
    scenarios::{IDLE_CLOUD, LAPTOP, pass, save, settle, text, world},
};

const DESKTOP: Cast = ("desktop", Role::Local, aiemp_node::core::Brain::None);
const NOTE: &str = "Accounting/Current_Month.md";
const DAY: u64 = 86_400_000;

pub(super) fn bank(name: &str, currency: &str) -> Bank {
    Bank {
        name: name.to_owned(),
        currency: currency.to_owned(),
        date: "Date".to_owned(),
        date_format: "%Y-%m-%d".to_owned(),
        amount: Some("Amount".to_owned()),
        credit: None,
        debit: None,
        direction: None,
        description: vec!["Payee".to_owned()],
        id: None,
        decimal: '.',
    }
}

/// A mesh of two Locals and a Cloud whose Locals know two banks.
fn with_banks(seed: u64) -> World {
    let mut world = world(seed, &[LAPTOP, DESKTOP, IDLE_CLOUD], &[(0, 1), (0, 2)]);
    know_banks(&mut world, &[0, 1]);
    world
}

pub(super) fn know_banks(world: &mut World, nodes: &[usize]) {
    for node in nodes {
        world.nodes[*node].banks = vec![bank("main", "EUR"), bank("usa", "USD")];
        world.crash(*node, 100);
    }
    pass(world, 60_000);
}

pub(super) fn day(world: &World, days_ago: u32) -> String {
    world.time().earlier_by(Duration::from_millis(DAY) * days_ago).date()
}

/// A line of a statement, so many days before the world's now.
pub(super) fn line(world: &World, days_ago: u32, payee: &str, amount: &str) -> String {
    format!("{},{payee},{amount}\n", day(world, days_ago))
}

pub(super) fn statement(lines: &[String]) -> String {
    format!("Date,Payee,Amount\n{}", lines.concat())
}

fn dropped(world: &mut World, node: usize, bank: &str, content: &str) -> Result<String, String> {
    let request = 7_000_000_000 + world.now * 10 + node as u64;
    let arrival = Arrival {
        source: "drop".to_owned(),
        id: "1".to_owned(),
        kind: "file_drop".to_owned(),
        domain: "files".to_owned(),
        is_private: true,
        bank: Some(bank.to_owned()),
        file: Some(("jan.csv".to_owned(), content.as_bytes().to_vec())),
        ..Arrival::default()
    };
    world.input(node, Input::Asked { request, question: Question::Arrived(Box::new(arrival)) }).expect("asked");
    pass(world, 5_000);
    match world.nodes[node].answers.remove(&request) {
        Some(Answer::Agent(Told::Done { path, .. })) => Ok(path.to_string()),
        Some(Answer::Refused(why) | Answer::Agent(Told::Refused(why))) => Err(why),
        other => panic!("{other:?}"),
    }
}

/// The oldest month whose note follows the statements.
fn oldest_month(world: &World) -> String {
    let now = day(world, 0);
    let year: i32 = now[..4].parse().expect("a year");
    format!("{:04}{}", year - 1, &now[4..7])
}

fn month(world: &World, days_ago: u32) -> String {
    format!("Accounting/{}.md", &day(world, days_ago)[..7])
}

fn note(world: &World, node: usize) -> String {
    text(world, node, NOTE).unwrap_or_default()
}

/// Rows of the table of transactions.
fn rows(note: &str) -> usize {
    note.lines().filter(|line| line.starts_with("| 20")).count()
}

#[test]
fn statements_that_overlap_are_counted_once_and_the_note_is_for_local_nodes_alone() {
    let mut world = with_banks(830);
    let pay = line(&world, 0, "Client A [x](javascript:y)", "1500.00");
    let coffee = line(&world, 0, "coffee", "-3.50");
    let first = statement(&[pay.clone(), coffee.clone()]);
    let path = dropped(&mut world, 0, "main", &first).expect("taken");
    assert!(path.starts_with("Accounting/Statements/main/jan_") && path.ends_with(".csv"), "{path}");
    // Once more, at the other Local: the next download, which holds what the first did.
    dropped(&mut world, 1, "main", &statement(&[coffee.clone(), coffee.clone(), pay])).expect("taken");
    assert_eq!(dropped(&mut world, 0, "main", &first), Ok(path.clone()), "the same file again");
    let usa = statement(&[line(&world, 0, "Notion", "-15.00")]);
    dropped(&mut world, 1, "usa", &usa).expect("taken");
    pass(&mut world, 30_000);
    let told = note(&world, 1);
    assert_eq!(rows(&told), 4, "{told}");
    for piece in
        ["| In | 1500.00 EUR |", "| Out | -7.00 EUR |", "| Net | 1493.00 EUR |", "| Out | -15.00 USD |", "\\[x\\]("]
    {
        assert!(told.contains(piece), "{piece}: {told}");
    }
    for hidden in [NOTE, path.as_str()] {
        assert_eq!(text(&world, 2, hidden), None, "Cloud sees nothing of it");
    }
    // What is taken away counts no more, and what the person wrote around it stays.
    save(&mut world, 0, NOTE, &format!("my notes\n\n{told}\nbelow\n"));
    pass(&mut world, 10_000);
    remove(&mut world, 0, &path);
    pass(&mut world, 60_000);
    let told = note(&world, 0);
    assert!(told.starts_with("my notes\n") && told.ends_with("below\n"), "{told}");
    assert_eq!(rows(&told), 4, "the other statement holds all of it: {told}");
    settle(&mut world);
}

#[test]
fn a_statement_that_cannot_be_read_stays_where_it_was_and_one_in_the_vault_is_named() {
    let mut world = with_banks(831);
    let odd = "Date;Payee;Betrag\n2026-01-01;A;5\n";
    let why = dropped(&mut world, 0, "main", odd).expect_err("refused");
    assert!(why.contains("`Amount`") && why.contains("`Betrag`"), "{why}");
    assert!(dropped(&mut world, 0, "other", odd).expect_err("refused").contains("no `[[bank]]` named `other`"));
    assert!(dropped(&mut world, 2, "main", odd).is_err(), "Cloud has no banks");
    let good = statement(&[line(&world, 0, "A", "5.00")]);
    save(&mut world, 0, "Accounting/Statements/main/by hand.csv", &good);
    save(&mut world, 0, "Accounting/Statements/main/odd.csv", odd);
    save(&mut world, 0, "Accounting/Statements/nobody/odd.csv", odd);
    pass(&mut world, 30_000);
    let told = note(&world, 0);
    assert_eq!(rows(&told), 1, "{told}");
    assert_eq!(told.matches("**Not read:** [[Accounting/Statements/").count(), 2, "{told}");
    save(&mut world, 0, "Accounting/Statements/main/odd.csv", &good);
    pass(&mut world, 30_000);
    assert_eq!(note(&world, 0).matches("**Not read:**").count(), 1);
    settle(&mut world);
}

#[test]
fn a_month_that_ended_has_its_own_note_also_after_crashes() {
    for seed in 832..838 {
        let mut world = with_banks(seed);
        let (now, before) = (line(&world, 0, "A", "5.00"), line(&world, 40, "B", "7.00"));
        let oldest =
            (360..=400).rev().find(|days| month(&world, *days)[11..18] >= oldest_month(&world)[..]).expect("a day");
        let old = line(&world, oldest, "C", "9.00");
        let oldest = month(&world, oldest);
        dropped(&mut world, 1, "main", &statement(&[now, before, old])).expect("taken");
        world.crash(0, seed * 37 % 2_000);
        pass(&mut world, 60_000);
        let ended = text(&world, 0, &month(&world, 40)).expect("a note of the month before");
        assert!(ended.contains("| In | 7.00 EUR |") && rows(&ended) == 1, "{ended}");
        let this = month(&world, 0);
        assert_eq!((rows(&note(&world, 0)), text(&world, 0, &this)), (1, None));
        assert_eq!(rows(&text(&world, 0, &oldest).expect("a note")), 1);
        if seed > 832 {
            continue;
        }
        while month(&world, 0) == this {
            pass(&mut world, DAY);
        }
        pass(&mut world, 60_000);
        let told = note(&world, 0);
        assert!(told.contains("nothing moved") && rows(&told) == 0, "{told}");
        let ended = text(&world, 0, &this).expect("it ended");
        assert!(rows(&ended) == 1 && ended.contains("| In | 5.00 EUR |"), "{ended}");
        assert_eq!(rows(&text(&world, 0, &oldest).expect("a note")), 1, "what is too old to be read stays as it was");
        settle(&mut world);
    }
}

#[test]
fn what_a_person_puts_away_comes_anew_and_what_it_told_goes_also_while_nobody_looks() {
    let mut world = with_banks(840);
    let content = statement(&[line(&world, 0, "A", "5.00"), line(&world, 40, "B", "7.00")]);
    let path = dropped(&mut world, 0, "main", &content).expect("taken");
    pass(&mut world, 30_000);
    let before = month(&world, 40);
    assert_eq!(rows(&text(&world, 0, &before).expect("a note")), 1);
    // Deleted while the executor is off.
    world.crash(0, 60_000);
    pass(&mut world, 10_000);
    remove(&mut world, 1, &path);
    pass(&mut world, 120_000);
    assert_eq!((rows(&note(&world, 0)), rows(&text(&world, 0, &before).expect("a note"))), (0, 0));
    // The same file once more, and the note that somebody deleted.
    remove(&mut world, 0, NOTE);
    pass(&mut world, 60_000);
    assert_eq!(text(&world, 0, NOTE), None);
    let again = dropped(&mut world, 0, "main", &content).expect("taken");
    assert_eq!(again, path);
    pass(&mut world, 60_000);
    assert_eq!(rows(&note(&world, 0)), 1, "{}", note(&world, 0));
    assert!(text(&world, 1, &path).is_some());
    settle(&mut world);
}

#[test]
fn an_executor_that_knows_no_bank_says_so_and_one_account_is_one_in_whatever_folder() {
    let mut world = world(841, &[LAPTOP, DESKTOP, IDLE_CLOUD], &[(0, 1), (0, 2)]);
    know_banks(&mut world, &[1]);
    let content = statement(&[line(&world, 0, "A", "5.00")]);
    dropped(&mut world, 1, "main", &content).expect("taken");
    pass(&mut world, 30_000);
    assert!(note(&world, 0).contains("**Not read:**"), "{}", note(&world, 0));
    assert!(note(&world, 0).contains("no \\`\\[\\[bank\\]\\]\\` named"), "{}", note(&world, 0));
    know_banks(&mut world, &[0]);
    save(&mut world, 0, "Accounting/Statements/MAIN/copy.csv", &content);
    pass(&mut world, 30_000);
    assert!(note(&world, 0).contains("| In | 5.00 EUR |") && rows(&note(&world, 0)) == 1, "{}", note(&world, 0));
    settle(&mut world);
}
