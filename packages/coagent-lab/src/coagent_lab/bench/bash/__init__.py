"""The benchmark of bash tasks: everyday work on a server, by plain bash and by the governed shell."""
