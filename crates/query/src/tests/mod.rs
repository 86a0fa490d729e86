//! Sessions and reports over small stores made by hand, whose answers are known.

mod coverage;
mod output;
mod report;
mod sql;
mod stores;
mod views;
