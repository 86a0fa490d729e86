//! Sessions and reports over small stores made by hand, whose answers are known.

mod output;
mod report;
mod sql;
mod stores;
mod views;
