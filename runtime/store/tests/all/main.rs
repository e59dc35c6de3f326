//! Proves what the store promises by opening real directories, killing real processes and
//! damaging real files. Nothing of the disk is imitated.

#[cfg(test)]
mod changelog;
#[cfg(test)]
mod compaction;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod directory;
#[cfg(test)]
mod model;
#[cfg(test)]
mod moment;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod scoped;
#[cfg(test)]
mod topics;
#[cfg(test)]
mod unsynced;
#[cfg(test)]
mod world;
