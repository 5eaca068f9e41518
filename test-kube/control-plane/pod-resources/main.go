// pod-resources SOCKET PODS: the kubelet's pod-resources service for tests, by the kubelet's own server code. PODS is a
// JSON file with a list of pods:
//
//	[{"namespace": "…", "name": "…", "containers": [{"name": "…", "devices": [{"resource": "…", "ids": ["…"]}]}]}]
//
// It serves until its stdin ends.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"

	"google.golang.org/grpc"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	api "k8s.io/kubelet/pkg/apis/podresources/v1"
	kubeletgrpc "k8s.io/kubernetes/pkg/kubelet/apis/grpc"
	"k8s.io/kubernetes/pkg/kubelet/apis/podresources"
)

type devices struct {
	Resource string   `json:"resource"`
	IDs      []string `json:"ids"`
}

type container struct {
	Name    string    `json:"name"`
	Devices []devices `json:"devices"`
}

type pod struct {
	Namespace  string      `json:"namespace"`
	Name       string      `json:"name"`
	Containers []container `json:"containers"`
}

// node is what the kubelet knows of its pods and devices. A pod's UID is its place in the list.
type node []pod

func (n node) GetPods() []*core.Pod {
	var pods []*core.Pod
	for index, pod := range n {
		made := &core.Pod{ObjectMeta: meta.ObjectMeta{
			Namespace: pod.Namespace, Name: pod.Name, UID: types.UID(strconv.Itoa(index)),
		}}
		for _, container := range pod.Containers {
			made.Spec.Containers = append(made.Spec.Containers, core.Container{Name: container.Name})
		}
		pods = append(pods, made)
	}
	return pods
}

func (n node) GetActivePods() []*core.Pod { return n.GetPods() }

func (n node) GetPodByName(namespace, name string) (*core.Pod, bool) {
	for _, pod := range n.GetPods() {
		if pod.Namespace == namespace && pod.Name == name {
			return pod, true
		}
	}
	return nil, false
}

func (n node) UpdateAllocatedDevices() {}

func (n node) GetDevices(podUID, containerName string) []*api.ContainerDevices {
	index, err := strconv.Atoi(podUID)
	if err != nil || index >= len(n) {
		return nil
	}
	var given []*api.ContainerDevices
	for _, container := range n[index].Containers {
		if container.Name != containerName {
			continue
		}
		for _, devices := range container.Devices {
			topology := &api.TopologyInfo{Nodes: []*api.NUMANode{{ID: 1}}}
			given = append(given, &api.ContainerDevices{
				ResourceName: devices.Resource, DeviceIds: devices.IDs, Topology: topology,
			})
		}
	}
	return given
}

func (n node) GetAllocatableDevices() []*api.ContainerDevices { return nil }

func (n node) GetCPUs(_, _ string) []int64 { return []int64{2, 3} }

func (n node) GetAllocatableCPUs() []int64 { return nil }

func (n node) GetMemory(_, _ string) []*api.ContainerMemory {
	return []*api.ContainerMemory{{MemoryType: "memory", Size: 1 << 30}}
}

func (n node) GetAllocatableMemory() []*api.ContainerMemory { return nil }

func (n node) GetDynamicResources(*core.Pod, *core.Container) []*api.DynamicResource { return nil }

func serve(socket, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var pods node
	if err := json.Unmarshal(text, &pods); err != nil {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	ctx := context.Background()
	server := grpc.NewServer(
		kubeletgrpc.WithRateLimiter(ctx, "podresources", podresources.DefaultQPS, podresources.DefaultBurstTokens))
	providers := podresources.PodResourcesProviders{
		Pods: pods, Devices: pods, Cpus: pods, Memory: pods, DynamicResources: pods,
	}
	api.RegisterPodResourcesListerServer(server, podresources.NewV1PodResourcesServer(ctx, providers))
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		server.Stop()
	}()
	return server.Serve(listener)
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: pod-resources SOCKET PODS")
		os.Exit(2)
	}
	if err := serve(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "pod-resources:", err)
		os.Exit(1)
	}
}
