package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"pgcat-failover/cmd/lab/internal/place"
)

// ErrNotRunning is returned when there is no supervisor.
var ErrNotRunning = errors.New(`find the lab: it is not running; run "lab up"`)

// Supervisor is the running supervisor as the host sees it.
type Supervisor struct {
	PID     int       `json:"pid"`
	Started uint64    `json:"started"` // in ticks since boot: tells it from a later process with the same pid
	Port    int       `json:"port"`    // of the relay on the host's loopback
	Since   time.Time `json:"since"`
}

// Start starts the supervisor in namespaces of its own and returns at once.
func Start(lab place.Lab, port int) (Supervisor, error) {
	listener, err := listen(port)
	if err != nil {
		return Supervisor{}, err
	}
	defer func() { _ = listener.Close() }()
	socket, err := listener.File()
	if err != nil {
		return Supervisor{}, fmt.Errorf("hand over the listening socket: %w", err)
	}
	defer func() { _ = socket.Close() }()
	cmd, err := command(lab, socket)
	if err != nil {
		return Supervisor{}, err
	}
	if err := cmd.Start(); err != nil {
		return Supervisor{}, fmt.Errorf("start the supervisor in namespaces of its own: %w; is this root, with CAP_SYS_ADMIN?", err)
	}
	// Nobody waits for it but this: without it a supervisor that dies during
	// "lab up" would stay a zombie and look alive.
	go func() { _ = cmd.Wait() }()
	started, err := startTime(cmd.Process.Pid)
	if err != nil {
		return Supervisor{}, fmt.Errorf("look at the supervisor: %w; see %s", err, lab.Log("supervisor"))
	}
	s := Supervisor{PID: cmd.Process.Pid, Started: started, Port: listener.Addr().(*net.TCPAddr).Port, Since: time.Now()}
	return s, s.write(lab)
}

// listen takes the wanted port, or any free one if that is busy.
func listen(port int) (*net.TCPListener, error) {
	for _, candidate := range []int{port, 0} {
		listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: candidate})
		if err == nil {
			return listener, nil
		}
		if !errors.Is(err, unix.EADDRINUSE) {
			return nil, fmt.Errorf("listen on 127.0.0.1:%d: %w", candidate, err)
		}
	}
	return nil, errors.New("listen on 127.0.0.1: no port is free")
}

// command is this program again, from a copy that stays: `go run` deletes its
// own when it ends.
func command(lab place.Lab, socket *os.File) (*exec.Cmd, error) {
	self := program(lab)
	if err := copySelf(self); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(lab.Log("supervisor"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the supervisor's log: %w", err)
	}
	cmd := exec.Command(self, superviseArgs(lab)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{socket}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID,
	}
	return cmd, nil
}

func program(lab place.Lab) string { return filepath.Join(lab.Run, "lab") }

// superviseArgs names the state directory only so that the process can be
// recognized, by users and by Strays.
func superviseArgs(lab place.Lab) []string { return []string{"supervise", lab.State} }

// Strays lists supervisors of this lab that nobody wrote down: "lab up" may be
// killed right after it started one.
func Strays(lab place.Lab) ([]Supervisor, error) {
	all, err := procfs.AllProcs()
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	wanted := append([]string{program(lab)}, superviseArgs(lab)...)
	var strays []Supervisor
	for _, process := range all {
		line, err := process.CmdLine()
		if err != nil || !slices.Equal(line, wanted) {
			continue
		}
		if started, err := startTime(process.PID); err == nil {
			strays = append(strays, Supervisor{PID: process.PID, Started: started})
		}
	}
	return strays, nil
}

func copySelf(to string) error {
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("open this program: %w", err)
	}
	defer func() { _ = from.Close() }()
	file, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return fmt.Errorf("copy this program: %w", err)
	}
	_, err = io.Copy(file, from)
	return errors.Join(err, file.Close())
}

func (s Supervisor) write(lab place.Lab) error {
	content, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("write down the supervisor: %w", err)
	}
	if err := os.WriteFile(lab.PIDFile(), content, 0o644); err != nil {
		return fmt.Errorf("write down the supervisor: %w", err)
	}
	return nil
}

// Find returns the running supervisor, or ErrNotRunning.
func Find(lab place.Lab) (Supervisor, error) {
	content, err := os.ReadFile(lab.PIDFile())
	if err != nil {
		return Supervisor{}, ErrNotRunning
	}
	var s Supervisor
	if err := json.Unmarshal(content, &s); err != nil || !s.Alive() {
		return Supervisor{}, ErrNotRunning
	}
	return s, nil
}

// Alive tells whether the process is the one that was started, and not dead.
func (s Supervisor) Alive() bool {
	started, err := startTime(s.PID)
	return err == nil && started == s.Started
}

func startTime(pid int) (uint64, error) {
	process, err := procfs.NewProc(pid)
	if err != nil {
		return 0, err
	}
	stat, err := process.Stat()
	if err != nil {
		return 0, err
	}
	if stat.State == "Z" || stat.State == "X" {
		return 0, fmt.Errorf("process %d has ended", pid)
	}
	return stat.Starttime, nil
}

// Members lists the host's pids of all that runs in the lab, pods too: they all
// are in the supervisor's pid namespace.
func (s Supervisor) Members() ([]int, error) {
	own, err := os.Readlink(pidNamespace(s.PID))
	if err != nil {
		return nil, fmt.Errorf("list the lab's processes: %w", err)
	}
	all, err := procfs.AllProcs()
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	levels := map[int]int{} // parent of each, to find namespaces beneath the lab's
	for _, p := range all {
		if stat, err := p.Stat(); err == nil {
			levels[p.PID] = stat.PPID
		}
	}
	var members []int
	for _, p := range all {
		if inside(p.PID, s.PID, own, levels) {
			members = append(members, p.PID)
		}
	}
	return members, nil
}

// inside tells whether pid is in the namespace or descends from the supervisor:
// each pod's containers have a pid namespace of their own beneath it.
func inside(pid, supervisor int, namespace string, parent map[int]int) bool {
	if inNamespace(pid, namespace) {
		return true
	}
	for up := pid; up > 1; up = parent[up] {
		if up == supervisor {
			return true
		}
	}
	return false
}

func inNamespace(pid int, namespace string) bool {
	link, err := os.Readlink(pidNamespace(pid))
	return err == nil && link == namespace
}

func pidNamespace(pid int) string { return filepath.Join("/proc", strconv.Itoa(pid), "ns/pid") }

// Memory is what the lab's processes use, in bytes.
type Memory struct {
	PSS     uint64 // shared pages counted once
	RSS     uint64
	Count   int
	Cluster uint64 // PSS of the cluster's own programs, without what runs in containers
}

// Memory adds up what the lab's processes use.
func (s Supervisor) Memory() (Memory, error) {
	pids, err := s.Members()
	if err != nil {
		return Memory{}, err
	}
	own, err := os.Readlink(pidNamespace(s.PID))
	if err != nil {
		return Memory{}, fmt.Errorf("add up the lab's memory: %w", err)
	}
	var sum Memory
	for _, pid := range pids {
		process, err := procfs.NewProc(pid)
		if err != nil {
			continue // it ended meanwhile
		}
		rollup, err := process.ProcSMapsRollup()
		if err != nil {
			continue
		}
		if inNamespace(pid, own) {
			sum.Cluster += rollup.Pss
		}
		sum.Count++
		sum.PSS += rollup.Pss
		sum.RSS += rollup.Rss
	}
	return sum, nil
}

// Kill ends the supervisor, and with it all its namespaces hold.
func (s Supervisor) Kill() error {
	// A pidfd cannot hit a later process that got the same pid.
	fd, err := unix.PidfdOpen(s.PID, 0)
	if errors.Is(err, unix.ESRCH) || !s.Alive() {
		return nil
	}
	if err != nil {
		return fmt.Errorf("end the supervisor, process %d: %w", s.PID, err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("end the supervisor, process %d: %w", s.PID, err)
	}
	return waitEnd(fd)
}

// endTimeout bounds the wait for the end of the namespace: the kernel ends some
// hundred processes and unmounts their file systems.
const endTimeout = 30 * time.Second

// waitEnd waits until the process is gone, and so everything in its namespace.
func waitEnd(fd int) error {
	deadline := time.Now().Add(endTimeout)
	for time.Now().Before(deadline) {
		polls := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(polls, int(time.Until(deadline).Milliseconds())+1)
		if n > 0 {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for the supervisor's end: %w", err)
		}
	}
	return fmt.Errorf("wait for the supervisor's end: it is still there after %s", endTimeout)
}
