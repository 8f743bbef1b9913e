"""`tidegate bench`: the project's own benchmarks, which compare it with what others would use in its place.

Every contender runs pinned to one CPU, the load generator and the upstream to another; rounds are interleaved.
The whole process is measured: CPU time from /proc, memory as the proportional set size. Linux only.
"""
