"""What runs inside of other programs: each folder is one program, `spresso bridge install` puts it there."""
