// Package steps is the contract between the steps of a failover run.
//
// A step is one package with one shape: Command turns flags into a Config, Run(ctx, Config) does
// the work, tests call Run. Steps speak to each other only through the run record (package
// record), never through files or outputs of a workflow engine, so that the same code runs in
// Argo's pods and from a laptop.
//
// The pure centre (scenario, history, verdict, report) reads no clock, no network and no cluster;
// the rim (kube, record, pooler, fault and the step packages) may import the centre, never the other way.
//
// Exit codes of every step: 0 pass, 1 verdict fail, 2 usage or bad input, 3 could not tell.
package steps
