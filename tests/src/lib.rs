//! End to end: what needs several rooms at once, or the whole program. The tests stand in `tests/`;
//! helpers that more than one of them uses belong here.
