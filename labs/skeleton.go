package labs

import (
	"embed"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

//go:embed all:skeleton
var skeletonFiles embed.FS

// skeletonName is replaced by the lab's name in the files of skeleton/.
const skeletonName = "SKELETON"

// Skeleton returns, by path, the files of a small lab that validates, grades and passes its own test. The lab gets the
// LabName of the name.
func Skeleton(name string) map[string][]byte {
	name = LabName(name)
	files := map[string][]byte{}
	_ = fs.WalkDir(skeletonFiles, "skeleton", func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := skeletonFiles.ReadFile(p)
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(p, "skeleton/")
		files[path.Clean(rel)] = []byte(strings.ReplaceAll(string(data), skeletonName, name))
		return nil
	})
	return files
}

var notInName = regexp.MustCompile(`[^a-z0-9]+`)

// LabName makes a name of a lab of any text.
func LabName(text string) string {
	name := notInName.ReplaceAllString(strings.ToLower(text), "-")
	if len(name) > 63 {
		name = name[:63]
	}
	if name = strings.Trim(name, "-"); name == "" {
		return "my-lab"
	}
	return name
}
