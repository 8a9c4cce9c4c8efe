from asid.cli.main import main

main()
