module pgcat-failover

go 1.25.7
