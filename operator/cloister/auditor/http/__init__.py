"""HTTP/1.1 between gate and workload: httptools' parser (llhttp) on asyncio protocols, without a framework between."""
