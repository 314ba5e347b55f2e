DELETE FROM erasing
