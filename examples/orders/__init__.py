"""Orders through seven services of their own, commands in front and events behind: `make orders` runs and proves it."""
