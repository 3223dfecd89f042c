-- With statistics, SQLite plans a text anew each time that another value is bound to it, and as those statistics have it.
-- Without, it plans it once, by its indexes alone: as it is tested.
DROP TABLE IF EXISTS sqlite_stat1;
DROP TABLE IF EXISTS sqlite_stat4;
