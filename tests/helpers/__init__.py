"""What several tests share: oracles, arrays to draw, processes, a server, a browser, snapshots."""
