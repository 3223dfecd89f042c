-- Nobody read them.
DROP TABLE counters;
