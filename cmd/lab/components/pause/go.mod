module pgcat-failover/cmd/lab/components/pause

go 1.25.7
