"""Whether this machine can do what the package needs: checks that end with the command that fixes what is wrong."""
