//! What goes wrong in a real house: each case ends with a clear word, and with nothing lost.

mod advice;
mod children;
mod clocks;
mod crashes;
mod damage;
mod executor_down;
mod full_disk;
mod homes;
mod init;
mod keys;
mod kills;
mod links;
mod mails;
mod names;
mod notes;
mod restored;
mod tickets;
mod words;
