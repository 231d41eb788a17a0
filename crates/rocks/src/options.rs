//! What an operator may choose, and everything that we set in RocksDB with the reason.

use quorate_storage::Family;
use rocksdb::statistics::StatsLevel;
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode, Options,
    WriteBufferManager,
};

/// Bounds of a [`RocksStore`](crate::RocksStore)'s memory and files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RocksOptions {
    /// Bytes of blocks, indexes and filters kept in memory, over all families.
    pub block_cache_bytes: usize,
    /// Bytes of writes kept in memory before they go to sorted files, over all families.
    pub write_buffer_bytes: usize,
    /// Bytes of write-ahead log before families that hold it up are flushed: bounds the restart.
    pub max_log_bytes: u64,
    /// Sorted files kept open; each costs a descriptor.
    pub max_open_files: i32,
    /// Threads for flushes and compactions.
    pub background_jobs: i32,
}

impl Default for RocksOptions {
    /// Room for a few hundred thousand hot entries and a restart of seconds, on a small machine.
    fn default() -> Self {
        Self {
            block_cache_bytes: 256 << 20,
            write_buffer_bytes: 64 << 20,
            max_log_bytes: 256 << 20,
            max_open_files: 512,
            background_jobs: 2,
        }
    }
}

/// The parts of an open store that RocksDB shares with us.
pub(crate) struct Shared {
    pub(crate) cache: Cache,
    pub(crate) buffers: WriteBufferManager,
    /// Owns the statistics.
    pub(crate) options: Options,
}

impl Shared {
    pub(crate) fn new(chosen: &RocksOptions) -> Self {
        let cache = Cache::new_lru_cache(chosen.block_cache_bytes);
        let buffers = WriteBufferManager::new_write_buffer_manager(chosen.write_buffer_bytes, false);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        set_durability(&mut options);
        set_bounds(&mut options, chosen);
        options.set_write_buffer_manager(&buffers);
        options.enable_statistics();
        options.set_statistics_level(StatsLevel::ExceptHistogramOrTimers);
        Self { cache, buffers, options }
    }

    /// One column family per family, and the default one, which holds the format alone.
    pub(crate) fn families(&self, chosen: &RocksOptions) -> Vec<ColumnFamilyDescriptor> {
        let names = Family::ALL.map(Family::name).into_iter().chain(["default"]);
        names.map(|name| ColumnFamilyDescriptor::new(name, family_options(&self.cache, chosen))).collect()
    }
}

/// See the crate's documentation for the choice of the recovery mode.
fn set_durability(options: &mut Options) {
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_paranoid_checks(true);
    // A log file written over an older one can't tell its own torn tail from old records.
    options.set_recycle_log_file_num(0);
}

fn set_bounds(options: &mut Options, chosen: &RocksOptions) {
    options.set_max_total_wal_size(chosen.max_log_bytes);
    options.set_max_open_files(chosen.max_open_files);
    options.set_max_background_jobs(chosen.background_jobs);
    // Even out the writes of flushes and compactions, so that a sync does not wait behind them.
    options.set_bytes_per_sync(1 << 20);
    options.set_max_log_file_size(8 << 20);
    options.set_keep_log_file_num(4);
}

fn family_options(cache: &Cache, chosen: &RocksOptions) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    // Indexes and filters in parts of a block's size. A whole one of a large file would be about as
    // large as a shard of a small cache, and two of them would push each other out at every read.
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    table.set_partition_filters(true);
    table.set_pin_top_level_index_and_filter(true);
    // Most reads of nonces and receipts ask for keys that are not there.
    table.set_bloom_filter(10.0, false);
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_write_buffer_size((chosen.write_buffer_bytes / 2).max(1 << 20));
    options.set_paranoid_checks(true);
    options
}
